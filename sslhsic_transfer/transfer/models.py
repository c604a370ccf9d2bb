"""Fine-tuned models: loaded from a run's folder, used on pictures, measured and drawn, whatever the framework."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from sslhsic_transfer._devices import computing_device
from sslhsic_transfer.data.images import Picture, evenly, to_uint8_tensor
from sslhsic_transfer.errors import DataError
from sslhsic_transfer.transfer import native, with_detectron2, with_mmseg
from sslhsic_transfer.transfer.config import Framework, TransferConfig
from sslhsic_transfer.transfer.drawing import side_by_side
from sslhsic_transfer.transfer.settings import Task
from sslhsic_transfer.transfer.tasks import TASKS


@dataclass(frozen=True)
class FrameworkRunner:
    """How a framework trains and loads.

    Attributes:
        train: (config, encoder, training data, run folder, progress) -> None; it fills the run's model folder.
        load: (config, model folder, device) -> the framework's own network, and its function of a picture.
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
        config: what it is.
        network: the framework's own network, in eval mode.
    """

    def __init__(self, config: TransferConfig, network: Any, function: Callable[[Image.Image], Any]) -> None:
        self.config = config
        self.network = network
        self._function = function

    def __repr__(self) -> str:
        """Task, framework, encoder, data."""
        config = self.config
        return f"TransferredModel({config.task} by {config.framework}, {config.encoder.architecture}, {config.data})"

    def predict(self, picture: Picture) -> Any:
        """What it sees in a picture, at the picture's own size.

        Args:
            picture: one, as of `Encoder.embed`.

        Returns:
            Classification: (C,) float32 probabilities of ``config.classes``. Segmentation: (H, W) uint8, indices into
            them. Detection: `Boxes`. Depth: (H, W) float32 metres.

        Raises:
            ImageError: it cannot be read, or is no picture.
        """
        pixels = to_uint8_tensor(picture).permute(1, 2, 0)
        return self._function(Image.fromarray(pixels.cpu().numpy()))

    def evaluate(self, data: Any, *, progress: bool = False) -> dict[str, float]:
        """Figures of a split: see `sslhsic_transfer.transfer.evaluation`.

        Raises:
            DataError: its classes are not the model's.
        """
        self._check_classes(data)
        settings = self.config.typed_settings()
        return TASKS[self.config.task].evaluate(self._function, data, settings, progress)

    def draw(self, data: Any, count: int = 4) -> Image.Image:
        """A sheet of pictures, truth and prediction, for examples spread over a split; errors as of `evaluate`."""
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
    """Load a fine-tuned model, with all that it needs from its own folder.

    Args:
        folder: ``RUN/model``.
        device: by default an accelerator where there is one, else the CPU.

    Raises:
        ModelNotFoundError: no such folder.
        ConfigError, WeightsError: what lies in it cannot be used.
        MissingDependencyError: its framework is not installed.
    """
    folder = Path(folder)
    config = TransferConfig.load(folder)
    place = computing_device(device)
    return TransferredModel(config, *FRAMEWORKS[config.task][config.framework].load(config, folder, place))
