"""The table of tasks. A row tells where a task lives and describes its command; tasks are imported when used."""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sslhsic_transfer.errors import ConfigError

if TYPE_CHECKING:
    from sslhsic_transfer.transfer.tasks.task import AnyTask


@dataclass(frozen=True)
class TaskRow:
    """One task.

    Attributes:
        module: the module of the task's class, a `Task`.
        name: the name of that class.
        networks: the framework that its plain PyTorch networks come from: a name in `FRAMEWORKS`.
        summary: the first line of the command's help.
        example: an example of the command.
        advice: a further line of the command's help.
    """

    module: str
    name: str
    networks: str
    summary: str
    example: str
    advice: str = ""

    def load(self) -> "type[AnyTask]":
        """Import the task's class."""
        task: type[AnyTask] = getattr(importlib.import_module(self.module), self.name)
        return task


TASKS: dict[str, TaskRow] = {
    "classification": TaskRow(
        f"{__name__}.classification",
        "ClassificationTask",
        networks="torchvision",
        summary="Fine-tune for classification, and measure top-1 accuracy.",
        advice="For training with few labels set label_share=0.01, for training the linear layer only freeze_at=5.",
        example="sslhsic-r18 --data data/flowers --output runs/flowers iterations=500",
    ),
    "segmentation": TaskRow(
        f"{__name__}.segmentation",
        "SegmentationTask",
        networks="torchvision",
        summary="Fine-tune for semantic segmentation, and measure mIoU.",
        example="sslhsic-r18 --data data/street --output runs/street resize=360",
    ),
    "detection": TaskRow(
        f"{__name__}.detection",
        "DetectionTask",
        networks="torchvision",
        summary="Fine-tune for object detection, and measure COCO's average precision.",
        example="sslhsic-r18 --data data/cells --output runs/cells network=retinanet",
    ),
    "depth": TaskRow(
        f"{__name__}.depth",
        "DepthTask",
        networks="depth",
        summary="Fine-tune for depth from one picture, and measure AbsRel, RMSE and δ < 1.25.",
        example="sslhsic-r18 --data data/rooms --output runs/rooms network=upproj",
    ),
}


def load_task(name: str) -> "type[AnyTask]":
    """Import a task's class by the task's name.

    Raises:
        ConfigError: there is no such task.
    """
    if name not in TASKS:
        raise ConfigError(f"Unknown task {name!r}; expected {', '.join(TASKS)}.")
    return TASKS[name].load()
