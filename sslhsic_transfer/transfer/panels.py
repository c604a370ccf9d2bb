"""Panels for one example of each task: input, ground truth, prediction."""

from typing import Any

import numpy as np
from PIL import Image

from sslhsic_transfer.data.images import load_image
from sslhsic_transfer.data.labelled.classification import ClassificationData
from sslhsic_transfer.data.labelled.depth import DepthData
from sslhsic_transfer.data.labelled.detection import DetectionData
from sslhsic_transfer.data.labelled.segmentation import SegmentationData
from sslhsic_transfer.transfer.drawing import draw_boxes, draw_classes, draw_depth, draw_scores

# `predict` is a trained network as a function of one picture; see `sslhsic_transfer.transfer.evaluation`.


def classification_panels(predict: Any, data: ClassificationData, index: int) -> list[Image.Image]:
    """Return the picture, and its most likely classes as text, the right one in green."""
    picture = data.read_picture(index)
    return [picture, draw_scores(predict(picture), data.classes, data.folder.labels[index])]


def segmentation_panels(predict: Any, data: SegmentationData, index: int) -> list[Image.Image]:
    """Return the picture, its mask and the predicted mask."""
    picture, count = load_image(data.pairs[index][0]), len(data.classes)
    return [picture, draw_classes(data.read_mask(index), count), draw_classes(predict(picture), count)]


def detection_panels(predict: Any, data: DetectionData, index: int) -> list[Image.Image]:
    """Return the picture with its boxes, and with the predicted boxes."""
    entry = data.pictures[index]
    picture = load_image(entry.path)
    return [
        draw_boxes(picture, entry.truth, data.classes, scores=False),
        draw_boxes(picture, predict(picture), data.classes),
    ]


def depth_panels(predict: Any, data: DepthData, index: int) -> list[Image.Image]:
    """Return the picture, its depth and the predicted depth, in the same colors."""
    picture, truth = data.read_picture(index), data.read_depth(index)
    found = predict(picture)
    known = truth[truth > 0] if (truth > 0).any() else found  # the example may lack measurements
    nearest, farthest = (float(value) for value in np.quantile(known, (0.02, 0.98)))
    return [picture, *(draw_depth(depth, nearest, farthest) for depth in (truth, found))]
