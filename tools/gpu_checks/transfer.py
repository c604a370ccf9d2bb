"""Fine-tuning on the command line, and the model's predictions when it is loaded again on the CPU and on the device."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import box_iou

from sslhsic_transfer.results import load_results
from tests.dense_data import depth_lists, detection_coco, segmentation_lists
from tools.gpu_checks.check import Bench, Check, CheckFailed
from tools.gpu_checks.data import digits

# Predictions of one process: "NUMBER.NAME" -> the output for the picture of that number.
Arrays = Mapping[str, NDArray[Any]]
_COMMON = ("workers=1", "warmup=3", "log_every=5")
_PICTURES = 4  # pictures whose predictions are compared
_BOXES = 20  # boxes of a picture: those with the highest scores
_CPU_ALONE = {"CUDA_VISIBLE_DEVICES": ""}


@dataclass(frozen=True)
class Subject:
    """A fine-tune that is tried.

    Attributes:
        command: what follows ``sslhsic transfer``.
        data: makes its labelled data.
        pictures: of the data, those to predict.
        settings: of the fine-tune.
        compare: holds the predictions of two processes against one another.
    """

    command: tuple[str, ...]
    data: Callable[[Bench], Path]
    pictures: str
    settings: tuple[str, ...]
    compare: Callable[[Bench, Arrays, Arrays], None]


def fine_tuning(bench: Bench, *, subject: Subject, settings: tuple[str, ...] = ()) -> None:
    """Fine-tune and measure by the command; load the model in two new processes and compare what they see."""
    data, run = subject.data(bench), bench.folder / "run"
    overrides = (*_COMMON, *subject.settings, *settings)
    task, *options = subject.command
    places = ("--data", data, "--output", run)
    bench.sslhsic("transfer", task, "resnet18", *overrides, "--init", "random", *options, *places)
    for result in load_results(run / "results.json"):
        if not 0 <= result.value < math.inf:
            raise CheckFailed(f"{result.metric} is {result.value}")
        bench.tell(result.metric, result.value)
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    losses = [record["loss"] for record in map(json.loads, lines) if "loss" in record]
    bench.tell("loss, last less first", losses[-1] - losses[0])
    pictures = sorted(data.glob(subject.pictures))[:_PICTURES]
    outputs = [bench.folder / f"{name}.npz" for name in ("cpu", "device")]
    processes = [
        bench.start("predictions.py", run / "model", device, output, *pictures, environment=environment)
        for device, output, environment in (
            ("cpu", outputs[0], _CPU_ALONE),
            (bench.device, outputs[1], None),
        )
    ]
    for process in processes:
        bench.finish(process)
    expected, found = (dict(np.load(output)) for output in outputs)
    if not pictures or found.keys() != expected.keys():
        raise RuntimeError(f"predictions of {len(pictures)} pictures: {sorted(found)}, {sorted(expected)}")
    subject.compare(bench, found, expected)


def same_probabilities(bench: Bench, found: Arrays, expected: Arrays) -> None:
    """Hold the largest difference of a probability against 1e-4."""
    largest = max(float(abs(found[n] - expected[n]).max()) for n in expected)
    bench.at_most("probabilities, largest difference", largest, 1e-4)


def same_pixels(bench: Bench, found: Arrays, expected: Arrays) -> None:
    """Hold the share of pixels with the same class against .999."""
    bench.at_least("share of equal pixels", float(np.mean([(found[n] == expected[n]).mean() for n in expected])), 0.999)


def same_depth(bench: Bench, found: Arrays, expected: Arrays) -> None:
    """Hold the relative difference of maps against 1e-4."""
    errors = [float(np.linalg.norm(found[n] - expected[n]) / np.linalg.norm(expected[n])) for n in expected]
    bench.at_most("relative difference of depth", max(errors), 1e-4)


def same_boxes(bench: Bench, found: Arrays, expected: Arrays) -> None:
    """Hold the share of boxes that have a partner, in either direction, against .95."""
    shares, count = [], 0
    for number in {name.partition(".")[0] for name in expected}:
        sides = [
            [torch.from_numpy(arrays[f"{number}.{part}"][:_BOXES]) for part in ("boxes", "scores", "labels")]
            for arrays in (found, expected)
        ]
        count += len(sides[1][0])
        shares += [_with_partner(*sides), _with_partner(*reversed(sides))]
    bench.at_least("boxes compared", count, 1)
    bench.at_least("share of boxes with a partner", float(np.mean(shares)), 0.95)


def _with_partner(ones: list[torch.Tensor], others: list[torch.Tensor]) -> float:
    """Return the share of boxes that have a partner of the same label and nearly the same place and score."""
    (boxes, scores, labels), (their_boxes, their_scores, their_labels) = ones, others
    near = (scores[:, None] - their_scores).abs() < 0.01
    partners = (box_iou(boxes, their_boxes) > 0.98) & (labels[:, None] == their_labels) & near
    return float(partners.any(dim=1).float().mean()) if len(boxes) else float(not len(their_boxes))


_SEGMENTATION = ("iterations=12", "batch_size=4", "crop=[48,64]", "scale=[0.8,1.25]", "learning_rate=1e-3")
_DETECTION = ("iterations=25", "batch_size=4", "sides=[64]", "proposals=50", "sampled_regions=32")
_DEPTH = ("iterations=12", "batch_size=4", "crop=[64,64]", "resize=64", "protocol.cap=5")
_CLASSIFICATION = ("iterations=12", "batch_size=32", "size=64", "test=test")


def _scenes(bench: Bench, *, write: Callable[..., Path], train: int = 8) -> Path:
    return write(bench.folder / "scenes", train=train)


_COCO = partial(_scenes, write=detection_coco, train=16)
_MASKS = partial(_scenes, write=segmentation_lists)
SUBJECTS = {
    "classification": Subject(("classification",), digits, "test/*/*.jpg", _CLASSIFICATION, same_probabilities),
    "segmentation": Subject(("segmentation",), _MASKS, "val/*.png", _SEGMENTATION, same_pixels),
    "segmentation-mmseg": Subject(
        ("segmentation", "--framework", "mmseg"), _MASKS, "val/*.png", _SEGMENTATION, same_pixels
    ),
    "detection": Subject(("detection",), _COCO, "images/val/*.png", _DETECTION, same_boxes),
    "detection-detectron2": Subject(
        ("detection", "--framework", "detectron2"), _COCO, "images/val/*.png", _DETECTION, same_boxes
    ),
    "depth": Subject(("depth",), partial(_scenes, write=depth_lists), "rgb/10*.png", _DEPTH, same_depth),
}
_NEEDS = {
    "segmentation-mmseg": ("mmseg",),
    "detection": ("pycocotools",),
    "detection-detectron2": ("detectron2", "pycocotools"),
}

CHECKS = (
    *(
        Check(f"transfer.{name}", partial(fine_tuning, subject=subject), ("accelerate", *_NEEDS.get(name, ())), 100)
        for name, subject in SUBJECTS.items()
    ),
    Check(
        "transfer.segmentation-bf16",
        partial(fine_tuning, subject=SUBJECTS["segmentation"], settings=("precision=bf16",)),
        ("accelerate",),
        100,
    ),
)
