"""The contract of a framework: how it trains a task's network, loads it again, and hands it over for ONNX export."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import nn

from sslhsic_transfer.hub.encoder import Encoder
from sslhsic_transfer.training.run_folder import RunFolder
from sslhsic_transfer.transfer.config import TransferConfig
from sslhsic_transfer.transfer.tasks.task import AnyTask, LabelledData, PredictFunction

TaskT = TypeVar("TaskT", bound=AnyTask)
DataT = TypeVar("DataT", bound=LabelledData)
PredictT = TypeVar("PredictT", bound=PredictFunction)


@dataclass(frozen=True)
class Exportable:
    """A trained dense network in the form in which `sslhsic_transfer.adapters.onnx.dense` exports it.

    Attributes:
        network: the network; see `DenseNetwork`.
        resize: length of the short side to which pictures are resized before it; None: they are not resized.
        longest: largest length of the long side after that.
        first_label: the network's number of the first class.
    """

    network: nn.Module
    resize: int | None = None
    longest: int | None = None
    first_label: int = 0


class Framework(ABC, Generic[TaskT, DataT, PredictT]):
    """Base class of the frameworks.

    Attributes:
        distributed: whether Accelerate's launcher may start it in several processes.
    """

    distributed: ClassVar[bool] = False

    @abstractmethod
    def train(self, task: TaskT, encoder: Encoder, data: DataT, folder: RunFolder, *, progress: bool) -> None:
        """Fine-tune or resume, and write the trained network to the run's model folder.

        Raises:
            MissingDependencyError: the framework is not installed.
            ConfigError: the framework does not support the settings.
        """

    @abstractmethod
    def load(
        self, task: TaskT, config: TransferConfig, folder: Path, device: torch.device
    ) -> tuple[nn.Module, PredictT]:
        """Load the framework's own network from a model folder, in eval mode, and its prediction function.

        Raises:
            ModelNotFoundError: there are no weights.
            WeightsError, CheckpointError: the weights are damaged, or belong to another network.
            MissingDependencyError: the framework is not installed.
        """

    @abstractmethod
    def exportable(self, task: TaskT, config: TransferConfig, folder: Path) -> Exportable:
        """Load the trained network of a dense task to the CPU, in the form for ONNX export; raises what `load` does."""


AnyFramework = Framework[Any, Any, Any]
