"""Fine-tuned models of any framework: loading, prediction, evaluation, drawing."""

from pathlib import Path

import torch
from PIL import Image
from torch import nn

from sslhsic_transfer._devices import computing_device
from sslhsic_transfer.data.images import Picture, spread_indices, to_uint8_tensor
from sslhsic_transfer.errors import DataError
from sslhsic_transfer.transfer.config import TransferConfig
from sslhsic_transfer.transfer.drawing import side_by_side
from sslhsic_transfer.transfer.frameworks import load_framework
from sslhsic_transfer.transfer.tasks.task import AnyTask, LabelledData, PredictFunction, Prediction


class TransferredModel:
    """A fine-tuned model.

    >>> model = load_transferred("RUN/model")
    >>> classes = model.predict("street.jpg")  # segmentation: (H, W) uint8; see `predict`

    Attributes:
        config: the description of the model.
        task: the task, with the settings of the fine-tuning.
        network: the framework's own network, in eval mode.
    """

    def __init__(self, config: TransferConfig, task: AnyTask, network: nn.Module, predict: PredictFunction) -> None:
        self.config = config
        self.task = task
        self.network = network
        self._predict = predict

    def __repr__(self) -> str:
        """Return task, framework, encoder and data."""
        config = self.config
        return f"TransferredModel({config.task} by {config.framework}, {config.encoder.architecture}, {config.data})"

    def predict(self, picture: Picture) -> Prediction:
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
        return self._predict(Image.fromarray(pixels.cpu().numpy()))

    def evaluate(self, data: LabelledData, *, progress: bool = False) -> dict[str, float]:
        """Measure the model on a split; see the task's `evaluate`.

        Raises:
            DataError: the split's classes are not the model's.
        """
        self._check_classes(data)
        return self.task.evaluate(self._predict, data, progress=progress)

    def draw(self, data: LabelledData, count: int = 4) -> Image.Image:
        """Draw a sheet of pictures, ground truth and prediction, for examples spread over a split.

        Raises:
            DataError: the split's classes are not the model's.
        """
        self._check_classes(data)
        indices = spread_indices(len(data), min(count, len(data)))
        return side_by_side([self.task.panels(self._predict, data, index) for index in indices])

    def _check_classes(self, data: LabelledData) -> None:
        if data.classes != self.config.classes:
            raise DataError(
                f"The data have the classes {data.classes}; the model knows {self.config.classes}, by their "
                "numbers. Use data with the same classes in the same order."
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
    task = config.build_task()
    framework = load_framework(config.framework, config.task)
    return TransferredModel(config, task, *framework.load(task, config, folder, computing_device(device)))
