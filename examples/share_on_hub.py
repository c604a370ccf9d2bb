"""Share a model on the Hugging Face Hub, then load it back by its name as anybody would.

python examples/share_on_hub.py MODEL_DIR ORG/NAME --license apache-2.0 --trained-by "Your name" [--private] [--tag v1]

MODEL_DIR is what `sslhsic pretrain` leaves in RUN/model. Log in first (hf auth login), or set HF_TOKEN. Without an
account, `python -m tests.hub_server` serves a Hub on this machine and prints the variables that lead to it.
"""

import argparse
import tempfile
from pathlib import Path

import torch

from sslhsic_transfer import from_pretrained
from sslhsic_transfer.hub.publishing import publish
from sslhsic_transfer.hub.publishing.report import print_report
from sslhsic_transfer.sample import sign_digits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("repository")
    parser.add_argument("--license", required=True)
    parser.add_argument("--trained-by", required=True)
    parser.add_argument("--private", action="store_true")
    parser.add_argument("--tag")
    options = parser.parse_args()
    facts = {"licence": options.license, "trained_by": options.trained_by}

    print("1/3  What would be uploaded:")
    print_report(publish(options.model, options.repository, dry_run=True, tag=options.tag, **facts))

    print("2/3  Publishing …")
    report = publish(options.model, options.repository, private=options.private, tag=options.tag, **facts)
    print_report(report)

    print("3/3  Loading it by name, into a cache of its own …")
    picture = next(sign_digits().test.rglob("*.jpg"))
    with tempfile.TemporaryDirectory() as cache:
        loaded = from_pretrained(options.repository, revision=report.commit, cache_dir=cache)
        same = torch.equal(loaded.embed(picture), from_pretrained(options.model).embed(picture))
    print(f"     Embeddings of {picture.name} by the folder and by the Hub are {'equal' if same else 'NOT equal'}.")
    if not same:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
