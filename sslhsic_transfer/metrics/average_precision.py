"""COCO's average precision of boxes, for the detectors of all frameworks."""

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sslhsic_transfer._lazy import optional_import
from sslhsic_transfer.errors import InputError


class Detections(Protocol):
    """The boxes that a detector finds in one picture."""

    @property
    def boxes(self) -> NDArray[Any]:
        """(N, 4) corners x1, y1, x2, y2 in pixels."""

    @property
    def scores(self) -> NDArray[Any]:
        """(N,) scores from 0 to 1."""

    @property
    def labels(self) -> NDArray[Any]:
        """(N,) classes, from 0 on."""


def average_precision(truth: Mapping[str, Any], found: Sequence[Detections]) -> dict[str, float]:
    """Compare detections with annotations, by pycocotools.

    Args:
        truth: a COCO dictionary, with categories counted from 1; objects with ``iscrowd`` may be found or not.
        found: one entry for each of its images, in their order.

    Returns:
        ``"AP"`` over IoU 0.5 to 0.95, ``"AP50"``, ``"AP75"`` and, if there are several classes, ``"AP CLASS"`` of each,
        from 0 to 1; NaN if there are no objects to find.

    Raises:
        InputError: the number of entries differs from that of images.
        MissingDependencyError: pycocotools is not installed.
    """
    images, classes = truth["images"], [category["name"] for category in truth["categories"]]
    if len(found) != len(images):
        raise InputError(f"Got detections in {len(found)} pictures; expected {len(images)}, an entry for each.")
    purpose = "COCO's average precision"
    coco = optional_import("pycocotools.coco", extra="transfer", purpose=purpose)
    evaluation = optional_import("pycocotools.cocoeval", extra="transfer", purpose=purpose)
    results = [
        {
            "image_id": image["id"],
            "category_id": int(label) + 1,
            "bbox": [*box[:2], *(box[2:] - box[:2])],
            "score": score,
        }
        for image, entry in zip(images, found, strict=True)
        for box, score, label in zip(
            np.asarray(entry.boxes, dtype=float), map(float, entry.scores), entry.labels, strict=True
        )
    ]
    if not any(not annotation["iscrowd"] for annotation in truth["annotations"]):
        return dict.fromkeys(("AP", "AP50", "AP75"), float("nan"))
    if not results:
        return dict.fromkeys(("AP", "AP50", "AP75"), 0.0)
    with contextlib.redirect_stdout(io.StringIO()):  # it also prints the results
        annotated = coco.COCO()
        annotated.dataset = truth
        annotated.createIndex()
        comparison = evaluation.COCOeval(annotated, annotated.loadRes(results), "bbox")
        comparison.evaluate()
        comparison.accumulate()
        comparison.summarize()
    figures = {name: float(value) for name, value in zip(("AP", "AP50", "AP75"), comparison.stats, strict=False)}
    if len(classes) > 1:
        precision = comparison.eval["precision"][..., 0, 2]  # IoU, recall, class; all sizes, 100 boxes a picture
        for name, values in zip(classes, np.moveaxis(precision, 2, 0), strict=True):
            if (known := values[values >= 0]).size:
                figures[f"AP {name}"] = float(known.mean())
    return figures
