"""How long it takes to load a model that is on the disk: ours, timm's, transformers', and the bare file.

python benchmarks/load.py [--architecture NAME] [--rounds N] [--output DIR] [--note TEXT]

One model folder, loaded by each in turn, round after round, imports not counted. "first" verifies hash, finiteness
and features; "again" finds the mark that a first load of the same file has left. Prints medians, their ratio to
timm's, and checks that all networks give the same embedding. Writes load.json.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.pop(0)  # this file's folder, whose onnx.py would stand for the package of that name
sys.path.append(str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks import reports
from sslhsic_transfer import create_encoder, from_pretrained
from sslhsic_transfer._files import write_json
from sslhsic_transfer.hub.verification_cache import cache_folder
from sslhsic_transfer.results import stamp


def forget() -> None:
    for mark in (cache_folder() / "verified").glob("*"):
        mark.unlink()


def loaders(folder: Path) -> dict[str, Callable[[], torch.nn.Module]]:
    import timm
    from safetensors.torch import load_file
    from transformers import AutoModel

    def first() -> torch.nn.Module:
        forget()
        return from_pretrained(folder)

    return {
        "timm": lambda: timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0).eval(),
        "transformers": lambda: AutoModel.from_pretrained(folder).timm_model.eval(),
        "ours, first": first,
        "ours, again": lambda: from_pretrained(folder),
        "load_file alone": lambda: load_file(folder / "model.safetensors"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="resnet50")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--note", default="", help="what the record says of the machine")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        os.environ["SSLHSIC_CACHE"] = str(Path(place) / "cache")
        folder = create_encoder(options.architecture).save_pretrained(Path(place) / "model")
        time.sleep(3)  # a file that was written a moment ago is not marked as verified
        seconds: dict[str, list[float]] = {}
        images, embeddings = torch.randn(2, 3, 224, 224), {}
        for _ in range(options.rounds + 1):
            for name, load in loaders(folder).items():
                start = time.perf_counter()
                network = load()
                seconds.setdefault(name, []).append(time.perf_counter() - start)
                if isinstance(network, torch.nn.Module) and name not in embeddings:
                    with torch.no_grad():
                        embeddings[name] = network(images)
    for name, embedding in embeddings.items():
        torch.testing.assert_close(embedding, embeddings["timm"], rtol=1e-5, atol=1e-5, msg=name)
    medians = {name: statistics.median(values[1:]) for name, values in seconds.items()}
    measured = stamp() | {"torch": torch.__version__, "rounds": options.rounds, "note": options.note}
    record = {"measured": measured, "architecture": options.architecture, "seconds": medians}
    write_json(options.output / "load.json", record)
    print(reports.loading(record))


if __name__ == "__main__":
    main()
