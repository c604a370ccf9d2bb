"""Fine-tuned models of any framework: loading, prediction, evaluation, drawing."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from sslhsic_transfer._devices import computing_device
from sslhsic_transfer.data.images import Picture, evenly, to_uint8_tensor
from sslhsic_transfer.errors import DataError
from sslhsic_transfer.transfer.config import Framework, TransferConfig
from sslhsic_transfer.transfer.drawing import side_by_side
from sslhsic_transfer.transfer.frameworks import detectron2 as with_detectron2
from sslhsic_transfer.transfer.frameworks import mmseg as with_mmseg
from sslhsic_transfer.transfer.frameworks import plain as native
from sslhsic_transfer.transfer.settings import Task
from sslhsic_transfer.transfer.tasks import TASKS


@dataclass(frozen=True)
class FrameworkRunner:
    """Training and loading functions of a framework.

    Attributes:
        train: (config, encoder, training data, run folder, progress) -> None; it writes the run's model folder.
        load: (config, model folder, device) -> the framework's own network, and its prediction function.
        distributed: whether Accelerate's launcher may start it in several processes.
    """

    train: Callable[..., None]
    load: Callable[[TransferConfig, Path, torch.device], tuple[Any, Callable[[Image.Image], Any]]]
    distributed: bool


_NATIVE = FrameworkRunner(native.train, native.load, distributed=True)
_MMSEG = FrameworkRunner(with_mmseg.train, with_mmseg.load, distributed=False)
_DETECTRON2 = FrameworkRunner(with_detectron2.train, with_detectron2.load, distributed=False)
FRAMEWORKS: dict[Task, dict[Framework, FrameworkRunner]] = {
    "classification": {"torchvision": _NATIVE},
    "segmentation": {"torchvision": _NATIVE, "mmseg": _MMSEG},
    "detection": {"torchvision": _NATIVE, "detectron2": _DETECTRON2},
    "depth": {"depth": _NATIVE},
}


class TransferredModel:
    """A fine-tuned model.

    >>> model = load_transferred("RUN/model")
    >>> classes = model.predict("street.jpg")  # segmentation: (H, W) uint8; see `predict`

    Attributes:
        config: the description of the model.
        network: the framework's own network, in eval mode.
    """

    def __init__(self, config: TransferConfig, network: Any, function: Callable[[Image.Image], Any]) -> None:
        self.config = config
        self.network = network
        self._function = function

    def __repr__(self) -> str:
        """Return task, framework, encoder and data."""
        config = self.config
        return f"TransferredModel({config.task} by {config.framework}, {config.encoder.architecture}, {config.data})"

    def predict(self, picture: Picture) -> Any:
        """Predict for a picture, at the picture's own size.

        Args:
            picture: any picture that `Encoder.embed` accepts.

        Returns:
            Classification: (C,) float32 probabilities of ``config.classes``. Segmentation: (H, W) uint8, indices into
            them. Detection: `Boxes`. Depth: (H, W) float32 meters.

        Raises:
            ImageError: the picture cannot be read, or is not a picture.
        """
        pixels = to_uint8_tensor(picture).permute(1, 2, 0)
        return self._function(Image.fromarray(pixels.cpu().numpy()))

    def evaluate(self, data: Any, *, progress: bool = False) -> dict[str, float]:
        """Measure the model on a split; see `sslhsic_transfer.transfer.evaluation`.

        Raises:
            DataError: the split's classes are not the model's.
        """
        self._check_classes(data)
        settings = self.config.typed_settings()
        return TASKS[self.config.task].evaluate(self._function, data, settings, progress)

    def draw(self, data: Any, count: int = 4) -> Image.Image:
        """Draw a sheet of pictures, ground truth and prediction, for examples spread over a split.

        Raises:
            DataError: the split's classes are not the model's.
        """
        self._check_classes(data)
        indices = evenly(len(data), min(count, len(data)))
        panels = TASKS[self.config.task].panels
        return side_by_side([panels(self._function, data, index) for index in indices])

    def _check_classes(self, data: Any) -> None:
        if (found := getattr(data, "classes", ())) != self.config.classes:
            raise DataError(
                f"The data have the classes {found}; the model knows {self.config.classes}, by their numbers. Use data "
                "with the same classes in the same order."
            )


def load_transferred(folder: str | Path, device: torch.device | str | None = None) -> TransferredModel:
    """Load a fine-tuned model from its folder, which holds everything it needs.

    Args:
        folder: ``RUN/model``.
        device: by default an accelerator if there is one, else the CPU.

    Raises:
        ModelNotFoundError: the folder does not exist.
        ConfigError, WeightsError: the folder's files cannot be used.
        MissingDependencyError: its framework is not installed.
    """
    folder = Path(folder)
    config = TransferConfig.load(folder)
    place = computing_device(device)
    return TransferredModel(config, *FRAMEWORKS[config.task][config.framework].load(config, folder, place))
