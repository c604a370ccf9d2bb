"""Pretrain on the bundled pictures, load the encoder back, embed the test pictures, and measure the embeddings.

Run it with ``make demo``, or: python examples/demo.py [OUTPUT]. Run it again, and it continues where it stopped.
"""

import sys
import time
from pathlib import Path

from sslhsic_transfer._threads import share_processors


def main(output: Path) -> int:
    if (notice := share_processors()) is not None:  # before torch is loaded: the imports come after it
        print(notice, file=sys.stderr)

    from demo_figure import draw_figure

    from sslhsic_transfer import from_pretrained
    from sslhsic_transfer.embed import embed_folder
    from sslhsic_transfer.evaluate.probe import evaluate
    from sslhsic_transfer.evaluate.table import print_results
    from sslhsic_transfer.pretrain import load_recipe, pretrain
    from sslhsic_transfer.results import save_results
    from sslhsic_transfer.sample import sign_digits

    start = time.perf_counter()
    sample = sign_digits()

    print(f"1/4  Pretraining on {sample.train} (no labels are used) …", flush=True)
    model = pretrain(load_recipe("demo"), sample.root, output, resume=True)

    print(f"2/4  Loading {model} and embedding the test pictures …", flush=True)
    encoder = from_pretrained(model)
    embeddings = output / "test.parquet"
    embed_folder(model, sample.test, embeddings, overwrite=True)
    print(f"     {embeddings}: one row per picture, {encoder.feature_dim} numbers each")

    print("3/4  Measuring k-NN and linear accuracy, beside raw pixels and the untrained network …", flush=True)
    results = evaluate(model, ["knn", "linear"], train=sample.train, test=sample.test, floors=True)
    save_results(model / "results.json", results)

    print("4/4  Drawing …", flush=True)
    figure = draw_figure(output / "metrics.jsonl", embeddings, sample.test, output / "demo.png")

    print_results(results)
    print(f"Picture: {figure}\nRecords: {model / 'results.json'}\nMinutes: {(time.perf_counter() - start) / 60:.1f}")
    return verdict({(result.model, result.task): result.value for result in results}, str(model))


def verdict(values: dict[tuple[str, str], float], pretrained: str) -> int:
    """Return the exit status: 0 if the pretrained encoder is above every floor in both tasks."""
    for (model, task), value in values.items():
        if model != pretrained and value >= values[pretrained, task]:
            print(
                f"The pretrained encoder does not beat {model} in {task}: this should not happen.",
                file=sys.stderr,
            )
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/demo")))
