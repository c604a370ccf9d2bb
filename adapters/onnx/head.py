"""A linear layer over the embedding: what makes a classifier of an encoder."""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from sslhsic_transfer.errors import ConfigError


@dataclass(frozen=True)
class LinearHead:
    """The layer, and what its numbers stand for.

    Attributes:
        layer: D -> C.
        classes: C names.

    Raises:
        ConfigError: there are not as many names as the layer has outputs.
    """

    layer: nn.Linear
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.classes) != self.layer.out_features:
            raise ConfigError(f"Got {len(self.classes)} classes for a layer of {self.layer.out_features} outputs.")

    def __call__(self, pooled: Tensor) -> Tensor:
        """(B, D) -> (B, C), by the layer's numbers as float32 on the CPU."""
        layer = self.layer
        bias = None if layer.bias is None else layer.bias.detach().float().cpu()
        return F.linear(pooled, layer.weight.detach().float().cpu(), bias)
