"""Embedding and evaluation on the command line, beside the same on the CPU."""

from functools import partial

from sslhsic_transfer import from_pretrained
from sslhsic_transfer._precision import Precision
from sslhsic_transfer.embed import read_embeddings
from sslhsic_transfer.evaluate import evaluate
from sslhsic_transfer.evaluate.probe import Probe
from sslhsic_transfer.results import load_results
from tools.gpu_checks.check import Bench, Check
from tools.gpu_checks.data import digits, untrained_model
from tools.gpu_checks.measures import least_cosine, relative

COSINE = 0.9999
RELATIVE: dict[Precision, float] = {"fp32": 5e-3, "bf16": 3e-2, "fp16": 5e-3}  # fp32 convolves in TF32 on a GPU
# Between accuracies. Convolutions in TF32, torch's default, move a few pictures over a border between classes.
ACCURACY = 0.015


def embedding(bench: Bench, *, precision: Precision) -> None:
    """Embed a folder by the command; compare the file's rows with those of the encoder on the CPU."""
    model, data, file = untrained_model(bench), digits(bench), bench.folder / "embeddings.parquet"
    options = ("--device", bench.device, "--precision", precision, "--workers", 2, "--output", file)
    bench.sslhsic("embed", model, data / "test", *options)
    found = read_embeddings(file)
    expected = from_pretrained(model).embed([data / "test" / path for path in found.paths])
    bench.at_most("relative difference", relative(found.embeddings, expected), RELATIVE[precision])
    bench.tell("pictures", len(found.paths))
    bench.at_least("least cosine", least_cosine(found.embeddings, expected), COSINE)


def evaluation(bench: Bench, *, task: Probe) -> None:
    """Measure a model by the command; compare its accuracy with that on the CPU."""
    model, data, file = untrained_model(bench), digits(bench), bench.folder / "results.json"
    train, test = data / "train", data / "test"
    options = ("--device", bench.device, "--workers", 2, "--output", file)
    bench.sslhsic("evaluate", task, model, "--train", train, "--test", test, *options)
    (found,) = load_results(file)
    (expected,) = evaluate(model, [task], train=train, test=test, workers=2, device="cpu", progress=False)
    bench.tell("accuracy", found.value)
    bench.at_most("difference from the CPU's accuracy", abs(found.value - expected.value), ACCURACY)


CHECKS = (
    Check("embed.fp32", partial(embedding, precision="fp32")),
    Check("embed.bf16", partial(embedding, precision="bf16")),
    Check("embed.fp16", partial(embedding, precision="fp16"), ("cuda",)),
    Check("evaluate.knn", partial(evaluation, task="knn")),
    Check("evaluate.linear", partial(evaluation, task="linear"), ("scikit-learn",), 90),
)
