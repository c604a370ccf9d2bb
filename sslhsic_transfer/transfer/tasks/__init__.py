"""Table of the tasks: their data, plain PyTorch networks, evaluation and panels."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PIL import Image

from sslhsic_transfer.data.labelled.classification import find_classification
from sslhsic_transfer.data.labelled.depth import DepthData, find_depth
from sslhsic_transfer.data.labelled.detection import DetectionData, find_detection
from sslhsic_transfer.data.labelled.segmentation import find_segmentation
from sslhsic_transfer.transfer.evaluation import (
    evaluate_classification,
    evaluate_depth,
    evaluate_detection,
    evaluate_segmentation,
)
from sslhsic_transfer.transfer.panels import (
    classification_panels,
    depth_panels,
    detection_panels,
    segmentation_panels,
)
from sslhsic_transfer.transfer.settings import Task
from sslhsic_transfer.transfer.tasks.classification import ClassificationTask
from sslhsic_transfer.transfer.tasks.depth import DepthTask
from sslhsic_transfer.transfer.tasks.detection import DetectionTask
from sslhsic_transfer.transfer.tasks.segmentation import SegmentationTask


@dataclass(frozen=True)
class TaskKind:
    """Functions of one task. Each takes the settings of its own task.

    Attributes:
        find: (folder, split, settings) -> the split's data.
        native: (settings, preprocessing, classes) -> the construction, data and loss of a plain PyTorch network.
        evaluate: (predict, data, settings, progress) -> metrics by name.
        panels: (predict, data, index) -> an example next to its ground truth and its prediction.
    """

    find: Callable[[Any, str, Any], Any]
    native: Callable[[Any, Any, Any], Any]
    evaluate: Callable[[Any, Any, Any, bool], dict[str, float]]
    panels: Callable[[Any, Any, int], list[Image.Image]]


def _detection(folder: Any, split: str, settings: Any) -> DetectionData:
    data = find_detection(folder, split, settings.layout)
    data.require_objects()
    return data


def _depth(folder: Any, split: str, settings: Any) -> DepthData:
    data = find_depth(folder, split, settings.layout, units_per_metre=settings.units_per_metre)
    data.require_depth(settings.protocol.least, settings.protocol.cap)
    return data


TASKS: dict[Task, TaskKind] = {
    "classification": TaskKind(
        find=lambda folder, split, settings: find_classification(folder, split, settings.layout),
        native=ClassificationTask,
        evaluate=lambda predict, data, _, progress: evaluate_classification(predict.of, data, progress=progress),
        panels=classification_panels,
    ),
    "segmentation": TaskKind(
        find=lambda folder, split, settings: find_segmentation(
            folder, split, settings.layout, mask_values=settings.mask_values
        ),
        native=SegmentationTask,
        evaluate=lambda predict, data, _, progress: evaluate_segmentation(predict, data, progress=progress),
        panels=segmentation_panels,
    ),
    "detection": TaskKind(
        find=_detection,
        native=DetectionTask,
        evaluate=lambda predict, data, _, progress: evaluate_detection(predict, data, progress=progress),
        panels=detection_panels,
    ),
    "depth": TaskKind(
        find=_depth,
        native=lambda settings, preprocessing, _: DepthTask(settings, preprocessing),
        evaluate=lambda predict, data, settings, progress: evaluate_depth(
            predict, data, settings.protocol, progress=progress
        ),
        panels=depth_panels,
    ),
}
