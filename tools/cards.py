"""The model folders that ship: weights from a run, what they measure, the card.

python tools/cards.py store NAME RUN_MODEL --pictures DIR [--size N] [--fact NAME=VALUE …]
python tools/cards.py measure NAME DATA [--data-sets NAME …] [--seeds N …]
python tools/cards.py onnx NAME DATA
python tools/cards.py write NAME [--with RESULTS_JSON …]

The first makes model_cards/NAME from a run's RUN/model: weights in float16, config.json, recipe, metrics and
curves, and compares embeddings of DIR's pictures with those of the run's own weights. The second measures k-NN and
linear probe on the labelled data sets of DATA beside raw pixels and untrained networks. The third exports to ONNX, int8
calibrated on Imagenette's training pictures, and measures error, on its validation pictures, and speed; the files do
not ship. The fourth adds records that were measured elsewhere (results.json of benchmarks/transfer.py) and writes the
card. Each replaces what it wrote before.
"""

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from sslhsic_transfer import Encoder, Preprocessing
from sslhsic_transfer._files import write_text
from sslhsic_transfer.adapters.onnx.folder import add_onnx
from sslhsic_transfer.adapters.onnx.info import FilePrecision
from sslhsic_transfer.data.image_folder import ImageFolder
from sslhsic_transfer.data.images import spread_indices
from sslhsic_transfer.evaluate.probe import evaluate
from sslhsic_transfer.hub.config_file import WEIGHTS_NAME, read_config
from sslhsic_transfer.hub.encoder import load_folder
from sslhsic_transfer.hub.publishing import render_card
from sslhsic_transfer.hub.publishing.facts import known_facts
from sslhsic_transfer.hub.zoo import ZOO
from sslhsic_transfer.results import RESULTS_NAME, load_results, new_result, save_results, tested_on

CARDS = Path(__file__).parents[1] / "model_cards"
BESIDE = ("recipe.yaml", "metrics.jsonl", "curves.png")  # files that a run leaves beside its weights
DATA_SETS = {"imagenette128": "val", "cifar10_12k": "test", "dtd10": "test", "flowers5": "test", "sign_digits": "test"}
PRECISIONS: tuple[FilePrecision, ...] = ("fp32", "fp16", "int8")
NOTE = (
    "Small-scale weights: 27 thousand small pictures, hours on a CPU. The paper's encoder learned from 1.3 million of "
    "ImageNet; one command trains such a one on 8 GPUs, `accelerate launch --multi_gpu --num_processes 8 -m "
    "sslhsic_transfer.pretrain imagenet-r50 --data IMAGENET --output RUN`. This name will move to such weights by a "
    "new pinned revision when somebody has trained them."
)
COMPARED = 512  # pictures, evenly spread over the folder


def store(name: str, model: Path, pictures: Path, size: int | None, facts: Sequence[str]) -> None:
    """Make the folder that ships, and record what storing in float16 changes."""
    row, folder = ZOO[name], CARDS / name
    encoder = load_folder(model)
    if encoder.config != row.encoder:
        raise SystemExit(f"{model} holds {encoder.config}; {name} stands for {row.encoder}.")
    if size:
        encoder.preprocessing = Preprocessing.for_size(size)
    given = dict(fact.split("=", 1) for fact in facts)
    given = {
        "licence": row.licence,
        "trained_by": "the sslhsic-transfer developers",
        "data": row.data,
        "note": NOTE,
    } | given
    encoder.metadata |= known_facts(given)
    shutil.rmtree(folder, ignore_errors=True)
    encoder.save_pretrained(folder, dtype=torch.float16)
    for beside in BESIDE:
        shutil.copyfile(model / beside, folder / beside)
    _record_drift(encoder, folder, pictures)
    print(f"{folder}: SHA-256 {read_config(folder).fingerprint.sha256}; pin it in sslhsic_transfer/hub/zoo.py")


def _record_drift(encoder: Encoder, folder: Path, pictures: Path) -> None:
    stored, found = load_folder(folder), ImageFolder.scan(pictures)
    paths = [found.paths[index] for index in spread_indices(len(found.paths), min(COMPARED, len(found.paths)))]
    cosine = torch.cosine_similarity(encoder.embed(paths).double(), stored.embed(paths).double())
    figures = {"mean cosine": cosine.mean().item(), "smallest cosine": cosine.min().item()}
    records = [
        new_result(
            model=f"{WEIGHTS_NAME}, float16",
            task="storage",
            protocol="against the float32 encoder",
            metric=metric,
            value=value,
            n=len(paths),
            weights_sha256=stored.weights_sha256,
            **tested_on(found.root),
        )
        for metric, value in figures.items()
    ]
    save_results(folder / RESULTS_NAME, records)
    print(", ".join(f"{metric} {value:.7f}" for metric, value in figures.items()))


def measure(name: str, data: Path, data_sets: Sequence[str], seeds: Sequence[int]) -> None:
    """Run the probes on every data set; a validation split, where there is one, chooses the probe's penalty."""
    for data_set in data_sets:
        root, test = data / data_set, DATA_SETS[data_set]
        validation = root / "val" if test != "val" and (root / "val").is_dir() else None
        options = {"train": root / "train", "test": root / test, "validation": validation, "seeds": seeds}
        results = evaluate(name, ["knn", "linear"], floors=True, workers=2, **options)
        save_results(CARDS / name / RESULTS_NAME, results)
        for result in results:
            print(f"{data_set}: {result.model}, {result.task}: {result.figure()}", flush=True)


def export(name: str, data: Path) -> None:
    """Measure error and speed of ONNX files, which are thrown away: whoever wants them makes the same ones."""
    pictures = data / "imagenette128"
    with tempfile.TemporaryDirectory() as place:
        folder = shutil.copytree(CARDS / name, Path(place) / name)
        (folder / RESULTS_NAME).unlink()
        for report in add_onnx(folder, PRECISIONS, calibration=pictures / "train", pictures=pictures / "val"):
            print(report)
        records = load_results(folder / RESULTS_NAME)
    save_results(CARDS / name / RESULTS_NAME, records)


def write(name: str, others: Sequence[Path]) -> None:
    """Write the card from config.json and results.json."""
    folder = CARDS / name
    for path in others:
        save_results(folder / RESULTS_NAME, load_results(path))
    card = render_card(
        ZOO[name].hub_name.repo_id, read_config(folder), load_results(folder / RESULTS_NAME), has_recipe=True
    )
    write_text(folder / "README.md", card)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    storing, measuring, exporting, writing = map(steps.add_parser, ("store", "measure", "onnx", "write"))
    for step in (storing, measuring, exporting, writing):
        step.add_argument("name", choices=list(ZOO))
    storing.add_argument("model", type=Path)
    storing.add_argument("--pictures", type=Path, required=True)
    storing.add_argument("--size", type=int)
    storing.add_argument("--fact", nargs="+", default=[])
    for step in (measuring, exporting):
        step.add_argument("data", type=Path)
    measuring.add_argument("--data-sets", nargs="+", default=list(DATA_SETS), choices=list(DATA_SETS))
    measuring.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    writing.add_argument("--with", nargs="+", type=Path, default=[], dest="others")
    options = parser.parse_args()
    if options.step == "store":
        store(options.name, options.model, options.pictures, options.size, options.fact)
    elif options.step == "measure":
        measure(options.name, options.data, options.data_sets, options.seeds)
    elif options.step == "onnx":
        export(options.name, options.data)
    else:
        write(options.name, options.others)


if __name__ == "__main__":
    main()
