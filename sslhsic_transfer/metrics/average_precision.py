"""COCO's average precision of boxes, for the detectors of every framework alike."""

import contextlib
import io
from collections.abc import Sequence

import numpy as np

from sslhsic_transfer._lazy import optional_import
from sslhsic_transfer.data.labelled.detection import Boxes, DetectionData
from sslhsic_transfer.errors import InputError


def average_precision(data: DetectionData, found: Sequence[Boxes]) -> dict[str, float]:
    """Compare what was found with what is there, by pycocotools.

    Args:
        data: the pictures and their boxes; what is ignored there may be found or not.
        found: one entry a picture, in its order.

    Returns:
        ``"AP"`` over IoU 0.5 to 0.95, ``"AP50"``, ``"AP75"`` and, where there are several classes, each one's
        ``"AP CLASS"``, from 0 to 1; NaN where there is nothing to find.

    Raises:
        InputError: not one entry a picture.
        MissingDependencyError: pycocotools is not installed.
    """
    if len(found) != len(data):
        raise InputError(f"Got what was found in {len(found)} pictures; expected {len(data)}, one entry a picture.")
    purpose = "COCO's average precision"
    coco = optional_import("pycocotools.coco", extra="transfer", purpose=purpose)
    evaluation = optional_import("pycocotools.cocoeval", extra="transfer", purpose=purpose)
    wanted = data.as_coco()
    results = [
        {
            "image_id": picture.id,
            "category_id": int(label) + 1,
            "bbox": [*box[:2], *(box[2:] - box[:2])],
            "score": score,
        }
        for picture, entry in zip(data.pictures, found, strict=True)
        for box, score, label in zip(
            np.asarray(entry.boxes, dtype=float), map(float, entry.scores), entry.labels, strict=True
        )
    ]
    if not any(not annotation["iscrowd"] for annotation in wanted["annotations"]):
        return dict.fromkeys(("AP", "AP50", "AP75"), float("nan"))
    if not results:
        return dict.fromkeys(("AP", "AP50", "AP75"), 0.0)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it returns
        truth = coco.COCO()
        truth.dataset = wanted
        truth.createIndex()
        comparison = evaluation.COCOeval(truth, truth.loadRes(results), "bbox")
        comparison.evaluate()
        comparison.accumulate()
        comparison.summarize()
    figures = {name: float(value) for name, value in zip(("AP", "AP50", "AP75"), comparison.stats, strict=False)}
    if len(data.classes) > 1:
        precision = comparison.eval["precision"][..., 0, 2]  # IoU, recall, class; all sizes, 100 boxes a picture
        for name, values in zip(data.classes, np.moveaxis(precision, 2, 0), strict=True):
            if (known := values[values >= 0]).size:
                figures[f"AP {name}"] = float(known.mean())
    return figures
