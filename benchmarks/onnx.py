"""Costs and fidelity of exported files: speed, latency, size, memory, cosine, neighbors and accuracy, in one run.

python benchmarks/onnx.py MODEL DATA [--size 224] [--batches 1 32] [--rounds 5] [--output FILE]

MODEL is anything `from_pretrained` takes; DATA an ImageFolder with train/ and val/, of the kind MODEL knows. A subject
is a process of its own, so that its memory is its own; the processes take turns, and the median of the rounds counts.
Subjects: torch in float32 and bfloat16, channels last; torch.compile; our files in fp32, fp16 and int8; timm's exporter
over the same weights. Accuracy is that of a weighted 20-NN classifier of val/ by train/, for torch and each file, with
the encoder's own preprocessing; --size is that of what is timed.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.pop(0)  # this file's folder, where it would stand for the package of its own name

sys.path.append(str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch

from benchmarks import reports
from sslhsic_transfer import from_pretrained
from sslhsic_transfer._files import write_json
from sslhsic_transfer.adapters.onnx import OnnxEncoder, Quantization, export
from sslhsic_transfer.data.image_folder import ImageFolder
from sslhsic_transfer.metrics.knn import knn_predict
from sslhsic_transfer.results import stamp

SUBJECTS = ("torch fp32", "torch bf16", "torch.compile fp32", "timm's export", "ours fp32", "ours fp16", "ours int8")
BASE = "torch fp32"


def runner(subject: str, model: str, files: Path) -> Callable[[np.ndarray], object]:
    """Return a function from a batch to embeddings, with nothing else of the other subjects loaded."""
    if not subject.startswith("torch"):
        if subject == "timm's export":
            import onnxruntime

            session = onnxruntime.InferenceSession(files / "timm.onnx", providers=["CPUExecutionProvider"])
            name = session.get_inputs()[0].name
            return lambda images: session.run(None, {name: images})
        return OnnxEncoder.from_pretrained(files / f"{subject.split()[1]}.onnx")
    dtype = torch.bfloat16 if "bf16" in subject else torch.float32
    encoder: Any = from_pretrained(model, dtype=dtype).to(memory_format=torch.channels_last)
    network = torch.compile(encoder, dynamic=False) if "compile" in subject else encoder

    def run(images: np.ndarray) -> torch.Tensor:
        batch = torch.from_numpy(images).to(dtype, memory_format=torch.channels_last)
        with torch.inference_mode():
            return network(batch)

    return run


def work(options: argparse.Namespace) -> None:
    """Measure one subject at one batch size in a process of its own, and print the record as JSON."""
    run = runner(options.subject, options.model, options.files)
    size = options.size
    images = np.random.default_rng(0).normal(size=(options.batch, 3, size, size)).astype(np.float32)
    run(images)
    times = []
    end = time.perf_counter() + options.seconds
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        run(images)
        times.append(time.perf_counter() - start)
    print(json.dumps({"times": times, "memory": resident()}))


def resident() -> int:
    """Bytes of memory that this process holds now."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmRSS in /proc/self/status")


def measure(options: argparse.Namespace, files: Path) -> dict[str, dict[str, Any]]:
    """Speed, latencies and memory of each subject and batch size; the children run one after the other, in turns."""
    found: dict[str, dict[str, Any]] = {subject: {} for subject in options.subjects}
    for batch in options.batches:
        times: dict[str, list[list[float]]] = {subject: [] for subject in options.subjects}
        for _ in range(options.rounds):
            for subject in options.subjects:
                command = [sys.executable, __file__, options.model, str(options.data), "--subject", subject]
                command += ["--batch", str(batch), "--size", str(options.size), "--files", str(files)]
                command += ["--seconds", str(options.seconds)]
                done = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                times[subject].append(done["times"])
                found[subject]["memory"] = max(done["memory"], found[subject].get("memory", 0))
        for subject, rounds in times.items():
            everything = np.concatenate([np.asarray(each) for each in rounds])
            found[subject][f"images/s, batch {batch}"] = batch / statistics.median(map(statistics.median, rounds))
            found[subject][f"p50 ms, batch {batch}"] = 1000 * float(np.percentile(everything, 50))
            found[subject][f"p99 ms, batch {batch}"] = 1000 * float(np.percentile(everything, 99))
    return found


def accuracies(options: argparse.Namespace, files: Path) -> dict[str, dict[str, float]]:
    """Cosine, agreement and accuracy of 20-NN over DATA, each file against torch."""
    train, val = (ImageFolder.scan(options.data / split, labelled=True) for split in ("train", "val"))
    labels, truth = torch.tensor(train.labels), torch.tensor(val.labels)
    encoder = from_pretrained(options.model)
    reference = [encoder.embed(folder.paths) for folder in (train, val)]
    votes = knn_predict(reference[0], labels, reference[1])
    found = {BASE: {"accuracy": (votes == truth).float().mean().item()}}
    for precision in ("fp32", "fp16", "int8"):
        file = OnnxEncoder.from_pretrained(files / f"{precision}.onnx")
        bank, queries = (torch.from_numpy(file.embed(folder.paths)) for folder in (train, val))
        own = knn_predict(bank, labels, queries)
        found[f"ours {precision}"] = {
            "cosine": torch.cosine_similarity(queries, reference[1]).mean().item(),
            "agreement": (own == votes).float().mean().item(),
            "accuracy": (own == truth).float().mean().item(),
        }
    return found


def export_all(options: argparse.Namespace, files: Path) -> None:
    encoder = from_pretrained(options.model)
    val = options.data / "val"
    for precision in ("fp32", "fp16", "int8"):
        more: dict[str, Any] = {}
        if precision == "int8":
            more = {"calibration": options.data / "train", "quantization": Quantization(options.method)}
        print(export(encoder, files / f"{precision}.onnx", precision=precision, pictures=val, **more), flush=True)
    export_by_timm(options, encoder, files / "timm.onnx")


def export_by_timm(options: argparse.Namespace, encoder: Any, path: Path) -> None:
    """Export the peer: timm's own network with the same weights, through timm's own exporter."""
    import timm
    from timm.utils.onnx import onnx_export

    network = timm.create_model(encoder.config.architecture, pretrained=False, num_classes=0, exportable=True)
    network.load_state_dict(encoder.state_dict())
    onnx_export(network.eval(), str(path), input_size=(3, options.size, options.size), dynamic_size=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each turn")
    parser.add_argument("--method", default="minmax", help="how int8 ranges are found")
    parser.add_argument("--subjects", nargs="+", default=list(SUBJECTS), choices=SUBJECTS)
    parser.add_argument("--output", type=Path, default=Path("runs/onnx"))
    parser.add_argument("--subject", help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--files", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.subject:
        work(options)
        return
    with tempfile.TemporaryDirectory() as place:
        files = Path(place)
        export_all(options, files)
        found = measure(options, files)
        for subject, values in accuracies(options, files).items():
            found[subject] |= values
        for subject in found:
            name = "timm" if "timm" in subject else subject.split()[-1]
            if not subject.startswith("torch"):
                found[subject]["file"] = (files / f"{name}.onnx").stat().st_size
        record = {"measured": stamp(), "model": options.model, "batches": options.batches, "subjects": found}
        write_json(options.output / "onnx.json", record)
        print(reports.onnx(record))
    for batch in options.batches:
        speed = {subject: values[f"images/s, batch {batch}"] for subject, values in found.items()}
        ratios = [f"{name} / {BASE} {speed[name] / speed[BASE]:.2f}" for name in speed if name != BASE]
        print(f"batch {batch}: {'; '.join(ratios)}; int8 / fp32 {speed['ours int8'] / speed['ours fp32']:.2f}")


if __name__ == "__main__":
    main()
