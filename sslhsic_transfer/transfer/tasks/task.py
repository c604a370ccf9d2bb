"""The contract of a task: all that `run.py`, the frameworks and ONNX export ask of it.

A task is one file here and one row of `TASKS`. It has its settings, its data, a plain PyTorch network with examples and
a loss, a prediction function, and the evaluation and drawing of predictions, whichever framework made them.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset
from tqdm import tqdm

from sslhsic_transfer.data.labelled.detection import Boxes
from sslhsic_transfer.hub.encoder import Encoder
from sslhsic_transfer.models.preprocessing import Preprocessing
from sslhsic_transfer.transfer.settings import TransferSettings

# The prediction for one picture. Classification: (C,) float32 probabilities. Segmentation: (H, W) uint8 classes.
# Detection: boxes. Depth: (H, W) float32 meters.
Prediction = NDArray[np.float32] | NDArray[np.uint8] | Boxes
PredictFunction = Callable[[Image.Image], Prediction]


class LabelledData(Protocol):
    """One split of a labelled data set, as the readers in `sslhsic_transfer.data.labelled` return it."""

    @property
    def name(self) -> str:
        """Name of the data set."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their numbers; empty if the labels are not classes."""

    def __len__(self) -> int:
        """Return the number of pictures."""


SettingsT = TypeVar("SettingsT", bound=TransferSettings)
DataT = TypeVar("DataT", bound=LabelledData)
PredictT = TypeVar("PredictT", bound=PredictFunction)


class Task(ABC, Generic[SettingsT, DataT, PredictT]):
    """Base class of the tasks.

    Args:
        settings: the settings of the fine-tuning.
        preprocessing: the encoder's preprocessing.
        classes: the names of the classes.

    Attributes:
        settings_class: the class of the task's settings.
        recorded: the metrics of `evaluate` that go into results.json; evaluation.json has all of them.
        unrecorded: the settings that affect no metric, or that `measured_by` describes.
        first_label: the number of the first class in the outputs of `network`.
    """

    settings_class: ClassVar[type[TransferSettings]]
    recorded: ClassVar[tuple[str, ...]]
    unrecorded: ClassVar[frozenset[str]] = frozenset(
        {"train", "test", "layout", "seed", "workers", "log_every", "checkpoint_every"}
    )
    first_label: ClassVar[int] = 0

    def __init__(self, settings: SettingsT, preprocessing: Preprocessing, classes: Sequence[str] = ()) -> None:
        self.settings = settings
        self.preprocessing = preprocessing
        self.classes = tuple(classes)

    @classmethod
    @abstractmethod
    def find(cls, folder: str | Path, split: str, settings: SettingsT) -> DataT:
        """Find a split of a data set.

        Raises:
            DataError: the data do not exist, are not as expected, or teach nothing.
        """

    @classmethod
    def find_training(cls, folder: str | Path, settings: SettingsT) -> DataT:
        """Find the pictures to train on: by default the whole of the split that the settings name."""
        return cls.find(folder, settings.train, settings)

    @classmethod
    def for_pictures_of(cls, settings: SettingsT, side: int) -> SettingsT:
        """Return the settings with those filled in that depend on the side of the model's pictures, in pixels."""
        return settings

    @abstractmethod
    def network(self, encoder: Encoder) -> nn.Module:
        """Build the plain PyTorch network on top of a copy of the encoder.

        Raises:
            ConfigError: there is no plain network of the name in the settings.
        """

    @abstractmethod
    def examples(self, data: DataT) -> Dataset[Any]:
        """Return the training examples: (index, seed of the augmentation) -> example."""

    @abstractmethod
    def collate(self, examples: list[Any]) -> Any:
        """Combine examples into a batch."""

    @abstractmethod
    def loss(self, network: nn.Module, batch: Any) -> Tensor:
        """Return a scalar to minimize."""

    @abstractmethod
    def predictor(self, network: nn.Module) -> PredictT:
        """Return the prediction function of a trained network."""

    @abstractmethod
    def evaluate(self, predict: PredictT, data: DataT, *, progress: bool = False) -> dict[str, float]:
        """Measure predictions on a split: metrics by name."""

    @abstractmethod
    def panels(self, predict: PredictT, data: DataT, index: int) -> list[Image.Image]:
        """Draw one example next to its ground truth and its prediction."""

    @property
    def input_side(self) -> int | None:
        """Length to which the short side of pictures is resized before the network; None: they keep their size."""
        return None

    def measured_by(self) -> str:
        """Describe the choices of the evaluation that affect the metrics; empty if there are none."""
        return ""

    def labels_used(self) -> str:
        """Describe the part of the training labels that is used, for records; empty for all of them."""
        return ""

    def protocol(self, framework: str, architecture: str) -> str:
        """Describe in one line every choice that affects the metrics, except the seed."""
        hidden = self.unrecorded | (set() if self.settings.nesterov else {"nesterov"})
        values = ", ".join(f"{key} {value}" for key, value in self.settings.model_dump().items() if key not in hidden)
        return "; ".join(filter(None, (f"{framework}, {architecture}, {values}", self.measured_by())))


# A task of which nothing is known but the contract, as the table holds them.
AnyTask = Task[Any, Any, Any]


def picture_indices(data: LabelledData, *, progress: bool) -> Iterable[int]:
    """Count through the pictures of a split, with a progress bar if wanted."""
    return tqdm(range(len(data)), desc="evaluate", unit="picture", disable=not progress)
