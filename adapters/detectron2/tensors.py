"""Detectron2's networks with the interface of torchvision's detectors, tensors in and out, for export."""

from typing import Any

from torch import Tensor, nn

import sslhsic_transfer.adapters.detectron2.compat  # noqa: F401 - before Detectron2

# isort: split
from detectron2.modeling import GeneralizedRCNN


class TensorDetector(nn.Module):
    """A Detectron2 network without its structures, which neither resizes pictures nor rescales boxes.

    Args:
        model: the network that Detectron2 builds, for RGB on 0 … 255.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        """Map RGB pictures (3, H, W) on [0, 1] to ``"boxes"`` (N, 4), ``"scores"`` and ``"labels"`` (N,) from 0 on."""
        return [self._found(255 * image) for image in images]

    def _found(self, image: Tensor) -> dict[str, Tensor]:
        model: Any = self.model
        if isinstance(model, GeneralizedRCNN):
            (found,) = model.inference([{"image": image}], do_postprocess=False)
        else:
            found = model([{"image": image}])[0]["instances"]
        boxes: Tensor = found.pred_boxes.tensor
        kept = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)  # Detectron2 returns no empty boxes
        return {"boxes": boxes[kept], "scores": found.scores[kept], "labels": found.pred_classes[kept]}
