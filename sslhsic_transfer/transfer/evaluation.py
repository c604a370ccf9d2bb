"""Evaluation of trained networks: predictions for each test picture, measured alike for every framework."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from sslhsic_transfer.data.images import load_image
from sslhsic_transfer.data.labelled.classification import ClassificationData
from sslhsic_transfer.data.labelled.depth import DepthData
from sslhsic_transfer.data.labelled.detection import Boxes, DetectionData
from sslhsic_transfer.data.labelled.segmentation import SegmentationData
from sslhsic_transfer.errors import DataError
from sslhsic_transfer.metrics.average_precision import average_precision
from sslhsic_transfer.metrics.confusion import Confusion
from sslhsic_transfer.metrics.depth import DepthMetrics, DepthProtocol

_BATCH = 64  # pictures classified at once


# A classifier predicts from several files; the other networks predict from one RGB picture.
ClassificationFunction = Callable[[Sequence[Path]], NDArray[np.float32]]
SegmentationFunction = Callable[[Image.Image], NDArray[np.uint8]]
DetectionFunction = Callable[[Image.Image], Boxes]
DepthFunction = Callable[[Image.Image], NDArray[np.float32]]


def _shown(count: int, progress: bool) -> Iterator[int]:
    yield from tqdm(range(count), desc="evaluate", unit="picture", disable=not progress)


def evaluate_classification(
    predict: ClassificationFunction, data: ClassificationData, *, progress: bool = False
) -> dict[str, float]:
    """Compute accuracies over all pictures and for each class.

    Args:
        predict: files -> (N, C) scores.
        data: the split to measure on.
        progress: whether to show a progress bar.

    Returns:
        ``top-1``; ``top-5`` if there are more than five classes; ``mean per class``, the mean of the classes'
        accuracies; ``accuracy CLASS``; all as fractions.
    """
    labels = np.asarray(data.folder.labels)
    ranked = []
    with tqdm(total=len(data), desc="evaluate", unit="picture", disable=not progress) as bar:
        for start in range(0, len(data), _BATCH):
            paths = data.folder.paths[start : start + _BATCH]
            ranked.append(np.argsort(-predict(paths), axis=1, kind="stable")[:, :5])
            bar.update(len(paths))
    hits = np.concatenate(ranked) == labels[:, None]
    first = hits[:, 0]
    shares = {name: float(first[labels == number].mean()) for number, name in enumerate(data.classes)}
    return {
        "top-1": float(first.mean()),
        **({"top-5": float(hits.any(axis=1).mean())} if len(data.classes) > 5 else {}),
        "mean per class": float(np.mean(list(shares.values()))),
        **{f"accuracy {name}": share for name, share in shares.items()},
    }


def evaluate_segmentation(
    predict: SegmentationFunction, data: SegmentationData, *, progress: bool = False
) -> dict[str, float]:
    """Compute mean intersection over union, pixel accuracy and each class's IoU, over all pixels that count.

    Args:
        predict: picture -> (H, W) classes.
        data: the split to measure on.
        progress: whether to show a progress bar.

    Returns:
        ``mIoU``, ``pixel accuracy`` and ``IoU CLASS``, as fractions. Classes that appear in no mask and no prediction
        are left out.

    Raises:
        DataError: every pixel is ignored.
    """
    confusion = Confusion(data.classes)
    for index in _shown(len(data), progress):
        confusion.update(data.read_mask(index), predict(load_image(data.pairs[index][0])))
    shares = {f"IoU {name}": share for name, share in confusion.iou.items() if not math.isnan(share)}
    return {"mIoU": confusion.mean_iou, "pixel accuracy": confusion.accuracy} | shares


def evaluate_detection(predict: DetectionFunction, data: DetectionData, *, progress: bool = False) -> dict[str, float]:
    """Compute COCO's average precision with `average_precision`.

    Args:
        predict: picture -> `Boxes`.
        data: the split to measure on.
        progress: whether to show a progress bar.
    """
    found = [predict(load_image(data.pictures[index].path)) for index in _shown(len(data), progress)]
    return average_precision(data.as_coco(), found)


def evaluate_depth(
    predict: DepthFunction, data: DepthData, protocol: DepthProtocol, *, progress: bool = False
) -> dict[str, float]:
    """Compute the metrics of `DepthMetrics`.

    Args:
        predict: picture -> (H, W) depth in meters.
        data: the split to measure on.
        protocol: every choice that affects the metrics.
        progress: whether to show a progress bar.

    Raises:
        DataError: no pixel counts.
    """
    metrics = DepthMetrics(protocol)
    for index in _shown(len(data), progress):
        depth = torch.from_numpy(data.read_depth(index))[None, None]
        metrics.update(torch.from_numpy(predict(data.read_picture(index)))[None, None], depth, depth > 0)
    if not metrics.pictures:
        raise DataError(
            f"No pixel of {data.split} of {data.name} has a depth within the protocol's bounds and crop: "
            f"{protocol.describe()}."
        )
    return metrics.compute()
