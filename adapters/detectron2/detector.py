"""Trained detectors, ready to find objects in pictures."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

import sslhsic_transfer.adapters.detectron2.compat  # noqa: F401 - before Detectron2

# isort: split
from detectron2.config import CfgNode
from detectron2.data import transforms
from detectron2.modeling import build_model

from sslhsic_transfer._files import write_text
from sslhsic_transfer.adapters.detectron2.config import load_config
from sslhsic_transfer.data.images import Picture, to_uint8_tensor
from sslhsic_transfer.data.labelled.detection import Boxes, DetectionData
from sslhsic_transfer.data.labelled.layouts import CLASSES_NAME, read_classes
from sslhsic_transfer.errors import CheckpointError, ModelNotFoundError
from sslhsic_transfer.metrics.average_precision import average_precision
from sslhsic_transfer.models.modes import evaluating

DETECTOR_CONFIG_NAME = "config.yaml"
DETECTOR_WEIGHTS_NAME = "model_final.pth"


class Detector:
    """A trained network with its settings.

    Args:
        cfg: the network's settings; pictures are resized by INPUT.MIN_SIZE_TEST and MAX_SIZE_TEST.
        model: the network that Detectron2 builds.
        classes: names of the labels.
    """

    def __init__(self, cfg: CfgNode, model: nn.Module, classes: tuple[str, ...]) -> None:
        self.cfg, self.model, self.classes = cfg, model, classes
        side = cfg.INPUT.MIN_SIZE_TEST
        self._resize = transforms.ResizeShortestEdge([side, side], cfg.INPUT.MAX_SIZE_TEST)

    def __repr__(self) -> str:
        """Show the network and the number of classes."""
        return f"Detector({self.cfg.MODEL.META_ARCHITECTURE}, {len(self.classes)} classes)"

    @torch.inference_mode()
    def __call__(self, picture: Picture) -> Boxes:
        """Find the objects in a picture: a path, a PIL image, an array or a tensor, as for `Encoder.embed`."""
        pixels = to_uint8_tensor(picture).permute(1, 2, 0).cpu().numpy()
        resized = self._resize.get_transform(pixels).apply_image(pixels)
        image = torch.as_tensor(np.ascontiguousarray(resized.transpose(2, 0, 1)), dtype=torch.float32)
        with evaluating(self.model):
            found = self.model([{"image": image, "height": pixels.shape[0], "width": pixels.shape[1]}])[0]["instances"]
        order = found.scores.argsort(descending=True, stable=True)
        parts = (found.pred_boxes.tensor[order], found.scores[order], found.pred_classes[order])
        return Boxes(*(part.cpu().numpy() for part in parts))

    def predict(self, data: DetectionData) -> list[Boxes]:
        """Find the objects in each picture of a data set, in order."""
        return [self(picture.path) for picture in data.pictures]

    def evaluate(self, data: DetectionData) -> dict[str, float]:
        """Compute AP, AP50 and AP75 by COCO's definition, from 0 to 1."""
        return average_precision(data.as_coco(), self.predict(data))


def load_detector(output: str | Path, device: str | None = None) -> Detector:
    """Load a detector trained by `fine_tune`; its initial encoder is not needed.

    Args:
        output: the run's folder.
        device: a device such as "cuda"; by default the GPU, if there is one.

    Raises:
        ModelNotFoundError: the folder holds no finished run.
        CheckpointError: the weights are damaged or do not fit the settings.
    """
    output = Path(output)
    weights = output / DETECTOR_WEIGHTS_NAME
    if not (output / DETECTOR_CONFIG_NAME).is_file() or not weights.is_file():
        raise ModelNotFoundError(
            f"{output} holds no trained detector; expected {DETECTOR_CONFIG_NAME} and {weights.name}, which fine_tune "
            "writes at the end of its run."
        )
    cfg = load_config(output / DETECTOR_CONFIG_NAME)
    cfg.MODEL.SSLHSIC.NAME = ""
    cfg.MODEL.DEVICE = device or cfg.MODEL.DEVICE
    model = build_model(cfg)
    try:
        model.load_state_dict(torch.load(weights, map_location="cpu")["model"])
    except Exception as error:
        raise CheckpointError(f"{weights} cannot be loaded: {error}") from error
    return Detector(cfg, model.eval(), read_classes(output))


def save_classes(output: Path, classes: tuple[str, ...]) -> None:
    """Write the names of the labels for `load_detector`."""
    write_text(output / CLASSES_NAME, "".join(f"{name}\n" for name in classes))
