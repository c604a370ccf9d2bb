"""What a trained network is worth: predictions of each test picture, measured alike for every framework."""

from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from sslhsic_transfer._lazy import optional_import
from sslhsic_transfer.adapters.data.depth import DepthData
from sslhsic_transfer.adapters.data.detection import DetectionData
from sslhsic_transfer.adapters.data.segmentation import IGNORED, SegmentationData
from sslhsic_transfer.adapters.depth.metrics import DepthMetrics, DepthProtocol
from sslhsic_transfer.images import load_image


@dataclass(frozen=True)
class Boxes:
    """What a detector finds in a picture.

    Attributes:
        boxes: (N, 4) corners x1, y1, x2, y2 in pixels.
        scores: (N,) between 0 and 1.
        labels: (N,) classes, from 0 on.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]


# A trained network of each task as a function of one RGB picture.
SegmentationFunction = Callable[[Image.Image], NDArray[np.uint8]]
DetectionFunction = Callable[[Image.Image], Boxes]
DepthFunction = Callable[[Image.Image], NDArray[np.float32]]


def _shown(count: int, progress: bool) -> Iterator[int]:
    yield from tqdm(range(count), desc="evaluate", unit="picture", disable=not progress)


def evaluate_segmentation(
    predict: SegmentationFunction, data: SegmentationData, *, progress: bool = False
) -> dict[str, float]:
    """Mean intersection over union, pixel accuracy and each class's IoU, over all pixels that count.

    Args:
        predict: picture -> (H, W) classes.
        data: a split.
        progress: whether to show a progress bar.

    Returns:
        ``mIoU``, ``pixel accuracy`` and ``IoU CLASS``, as shares. Classes that neither a mask nor a prediction has are
        left out.
    """
    count = len(data.classes)
    confusion = np.zeros((count, count), dtype=np.int64)  # rows: true classes
    for index in _shown(len(data), progress):
        mask = data.read_mask(index)
        found = predict(load_image(data.pairs[index][0]))
        counted = mask != IGNORED
        pairs = mask[counted].astype(np.int64) * count + found[counted]
        confusion += np.bincount(pairs, minlength=count * count).reshape(count, count)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - confusion.diagonal()
    shares = {
        name: float(confusion[number, number] / union[number])
        for number, name in enumerate(data.classes)
        if union[number]
    }
    return {
        "mIoU": float(np.mean(list(shares.values()))),
        "pixel accuracy": float(confusion.trace() / max(1, confusion.sum())),
    } | {f"IoU {name}": share for name, share in shares.items()}


def evaluate_detection(predict: DetectionFunction, data: DetectionData, *, progress: bool = False) -> dict[str, float]:
    """COCO's average precision, by pycocotools, at most 100 boxes a picture.

    Args:
        predict: picture -> `Boxes`.
        data: a split.
        progress: whether to show a progress bar.

    Returns:
        ``AP`` (mean over IoU .5 to .95), ``AP50``, ``AP75``, and ``AP CLASS`` where there are several, as shares.

    Raises:
        MissingDependencyError: pycocotools is not installed.
    """
    coco = optional_import("pycocotools.coco", extra="transfer", purpose="Average precision")
    cocoeval = optional_import("pycocotools.cocoeval", extra="transfer", purpose="Average precision")
    found = []
    for index in _shown(len(data), progress):
        picture = data.pictures[index]
        boxes = predict(load_image(picture.path))
        for box, score, label in zip(boxes.boxes, boxes.scores, boxes.labels, strict=True):
            corner, extent = box[:2], box[2:] - box[:2]
            found.append(
                {
                    "image_id": picture.id,
                    "category_id": int(label) + 1,
                    "bbox": [float(value) for value in (*corner, *extent)],
                    "score": float(score),
                }
            )
    if not found:
        return {"AP": 0.0, "AP50": 0.0, "AP75": 0.0}
    with redirect_stdout(StringIO()):  # pycocotools prints
        truth = coco.COCO()
        truth.dataset = data.as_coco()
        truth.createIndex()
        evaluation = cocoeval.COCOeval(truth, truth.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    figures = {
        name: max(0.0, float(value)) for name, value in zip(("AP", "AP50", "AP75"), evaluation.stats, strict=False)
    }
    precision = evaluation.eval["precision"][..., 0, 2]  # IoU, recall, class; all sizes, 100 boxes
    if len(data.classes) > 1:
        for number, name in enumerate(data.classes):
            known = precision[..., number][precision[..., number] >= 0]
            if known.size:
                figures[f"AP {name}"] = float(known.mean())
    return figures


def evaluate_depth(
    predict: DepthFunction, data: DepthData, protocol: DepthProtocol, *, progress: bool = False
) -> dict[str, float]:
    """The figures of `DepthMetrics`.

    Args:
        predict: picture -> (H, W) metres.
        data: a split.
        protocol: every choice that moves the figures.
        progress: whether to show a progress bar.
    """
    metrics = DepthMetrics(protocol)
    for index in _shown(len(data), progress):
        depth = torch.from_numpy(data.read_depth(index))[None, None]
        metrics.update(torch.from_numpy(predict(data.read_picture(index)))[None, None], depth, depth > 0)
    return metrics.compute()
