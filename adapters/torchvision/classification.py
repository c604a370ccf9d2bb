"""Classification: a linear layer over an encoder's pooled embedding, as torchvision's ResNets have it."""

from pathlib import Path

from torch import Tensor, nn

from sslhsic_transfer.adapters.backbone import DenseBackbone
from sslhsic_transfer.models.encoder import Encoder


class Classifier(DenseBackbone):
    """A copy of an encoder with a linear layer ``fc`` over its pooled embedding.

    Its state dict is that of torchvision's network of the same name:

    >>> classifier = Classifier("sslhsic-r18", num_classes=10)
    >>> torchvision.models.resnet18(num_classes=10).load_state_dict(classifier.state_dict())
    <All keys matched successfully>

    Args:
        encoder: an encoder, which is copied, or what `from_pretrained` takes.
        num_classes: how many classes.
        freeze_at: parts that do not train: see `DenseBackbone`; 5 leaves the linear layer alone to learn.
        norm_eval: whether batch statistics stay fixed.
    """

    pooled = True

    def __init__(
        self, encoder: Encoder | str | Path, num_classes: int, *, freeze_at: int = 0, norm_eval: bool = False
    ) -> None:
        super().__init__(encoder, ("c5",), freeze_at=freeze_at, norm_eval=norm_eval)
        self.fc = nn.Linear(self.config.feature_dim, num_classes, device=self.device, dtype=self.dtype)

    def forward(self, images: Tensor) -> Tensor:  # type: ignore[override]
        """(B, 3, H, W) pictures, normalised by ``encoder.preprocessing`` -> (B, num_classes) logits."""
        scores: Tensor = self.fc(self.backbone.forward_pooled(images))
        return scores
