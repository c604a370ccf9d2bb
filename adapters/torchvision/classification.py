"""Classification by a linear layer over an encoder's pooled embedding, as in torchvision's ResNets."""

from pathlib import Path

from torch import Tensor, nn

from sslhsic_transfer.adapters.backbone import DenseBackbone
from sslhsic_transfer.hub.encoder import Encoder


class Classifier(DenseBackbone):
    """A copy of an encoder with a linear layer ``fc`` over its pooled embedding.

    Its state dict is that of torchvision's network of the same name:

    >>> classifier = Classifier("sslhsic-r18", num_classes=10)
    >>> torchvision.models.resnet18(num_classes=10).load_state_dict(classifier.state_dict())
    <All keys matched successfully>

    Args:
        encoder: an encoder, which is copied, or what `from_pretrained` takes.
        num_classes: number of classes.
        freeze_at: parts that do not train: see `DenseBackbone`; with 5 only the linear layer trains.
        norm_eval: whether batch statistics stay fixed.
    """

    pooled = True

    def __init__(
        self, encoder: Encoder | str | Path, num_classes: int, *, freeze_at: int = 0, norm_eval: bool = False
    ) -> None:
        super().__init__(encoder, ("c5",), freeze_at=freeze_at, norm_eval=norm_eval)
        self.fc = nn.Linear(self.config.feature_dim, num_classes, device=self.device, dtype=self.dtype)

    def forward(self, images: Tensor) -> Tensor:  # type: ignore[override]
        """Map pictures (B, 3, H, W), normalized by ``encoder.preprocessing``, to logits (B, num_classes)."""
        scores: Tensor = self.fc(self.backbone.forward_pooled(images))
        return scores
