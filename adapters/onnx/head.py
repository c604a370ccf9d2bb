"""The linear layer over the embedding that makes an encoder a classifier."""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from sslhsic_transfer.errors import ConfigError


@dataclass(frozen=True)
class LinearHead:
    """A linear layer with the names of its classes.

    Attributes:
        layer: the layer, from D to C.
        classes: the names of the C classes.

    Raises:
        ConfigError: the number of names differs from that of the layer's outputs.
    """

    layer: nn.Linear
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.classes) != self.layer.out_features:
            raise ConfigError(f"Got {len(self.classes)} classes for a layer of {self.layer.out_features} outputs.")

    def __call__(self, pooled: Tensor) -> Tensor:
        """Map embeddings (B, D) to logits (B, C), with the layer's weights in float32 on the CPU."""
        layer = self.layer
        bias = None if layer.bias is None else layer.bias.detach().float().cpu()
        return F.linear(pooled, layer.weight.detach().float().cpu(), bias)
