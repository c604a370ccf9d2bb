"""The table of frameworks that fine-tune. A row tells where one lives and which tasks it does."""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.transfer.tasks import TASKS

if TYPE_CHECKING:
    from sslhsic_transfer.transfer.frameworks.framework import AnyFramework


@dataclass(frozen=True)
class FrameworkRow:
    """One framework.

    Attributes:
        module: the module of the framework's class, a `Framework`.
        name: the name of that class.
        tasks: the tasks that it does, besides those whose rows name it as the source of their plain networks.
    """

    module: str
    name: str
    tasks: tuple[str, ...] = ()

    def load(self) -> "AnyFramework":
        """Import the framework's class and make an instance."""
        framework: AnyFramework = getattr(importlib.import_module(self.module), self.name)()
        return framework


FRAMEWORKS: dict[str, FrameworkRow] = {
    "torchvision": FrameworkRow(f"{__name__}.plain", "PlainNetworks"),
    "depth": FrameworkRow(f"{__name__}.plain", "PlainNetworks"),
    "mmseg": FrameworkRow(f"{__name__}.mmseg", "MMSegmentation", tasks=("segmentation",)),
    "detectron2": FrameworkRow(f"{__name__}.detectron2", "Detectron2", tasks=("detection",)),
}


def frameworks_of(task: str) -> tuple[str, ...]:
    """Return the names of the frameworks that do a task; the first is the default."""
    return TASKS[task].networks, *(name for name, row in FRAMEWORKS.items() if task in row.tasks)


def load_framework(name: str, task: str) -> "AnyFramework":
    """Import a framework by its name.

    Raises:
        ConfigError: there is no such framework, or it does not do the task.
    """
    if name not in frameworks_of(task):
        raise ConfigError(f"{name} does no {task} here; expected {' or '.join(frameworks_of(task))}.")
    return FRAMEWORKS[name].load()
