"""`EncoderBase`: a network and the preprocessing it expects, with one way in for tensors and one for pictures.

`sslhsic_transfer.hub.encoder.Encoder` adds loading and saving, and is the class that users see.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from sslhsic_transfer._lazy import lazy_names
from sslhsic_transfer.data.images import Picture, as_pictures, convert_pictures
from sslhsic_transfer.errors import ConfigError, InputError
from sslhsic_transfer.models.backbone import HasBackbone, build_backbone
from sslhsic_transfer.models.checks import check_finite, check_images
from sslhsic_transfer.models.checksums import checksums
from sslhsic_transfer.models.config import STAGES, EncoderConfig, FeatureSpec, Stage
from sslhsic_transfer.models.modes import evaluating
from sslhsic_transfer.models.preprocessing import Preprocessing

if TYPE_CHECKING:
    from sslhsic_transfer.hub.encoder import Encoder as Encoder
    from sslhsic_transfer.hub.encoder import create_encoder as create_encoder


class EncoderBase(HasBackbone):
    """A network without a head and its preprocessing: all of an `Encoder` but files and names.

    Args:
        config: which network.
        preprocessing: how pictures become its input.
        zero_init_residual: start the last normalization of each block at zero instead of one.
        metadata: facts about the weights (training data, epochs, …) that are saved with them.

    Attributes:
        name_or_path: what the weights were loaded by; None where they were not.

    Raises:
        ConfigError: ``preprocessing`` is not a `Preprocessing`.
    """

    def __init__(
        self,
        config: EncoderConfig,
        preprocessing: Preprocessing | None = None,
        *,
        zero_init_residual: bool = False,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(preprocessing, Preprocessing | None):
            raise ConfigError(
                f"Got a {type(preprocessing).__name__} as preprocessing; expected a Preprocessing, such as "
                "Preprocessing.for_size(96) or Preprocessing(**settings)."
            )
        self.adopt(build_backbone(config, zero_init_residual=zero_init_residual))
        self.preprocessing = preprocessing or Preprocessing()
        self.metadata: dict[str, Any] = dict(metadata or {})
        self.name_or_path: str | None = None
        self.weights_sha256 = None

    @property
    def weights_sha256(self) -> str | None:
        """Hash of the file that the weights were loaded from; None where they were not, or have changed since."""
        if self._weights_sha256 is None or checksums(self) != self._loaded:
            return None
        return self._weights_sha256

    @weights_sha256.setter
    def weights_sha256(self, sha256: str | None) -> None:
        self._weights_sha256 = sha256
        self._loaded = None if sha256 is None else checksums(self)

    def _apply(self, *arguments: Any, **options: Any) -> Self:  # of `to`, `half`, `cuda`: the same weights after
        sha256 = self.weights_sha256
        super()._apply(*arguments, **options)
        self.weights_sha256 = sha256
        return self

    @property
    def specs(self) -> dict[Stage, FeatureSpec]:
        """Channels and stride of each feature map: ``encoder.specs["c4"]``."""
        return self.backbone.specs

    def forward(self, images: Tensor) -> Tensor:
        """Embed normalized images: the global average of the last feature map.

        Args:
            images: (B, 3, H, W) floating tensor, as ``encoder.preprocessing.transform()`` makes them; any H, W ≥ 32.

        Returns:
            (B, D).

        Raises:
            InputError: wrong shape, dtype or device; in eval mode also NaN or infinite values.
        """
        check_images(images, self.backbone.first_weight)
        pooled = self.backbone.forward_pooled(images)
        check_finite(images, pooled, training=self.training)
        return pooled

    def feature_maps(self, images: Tensor, stages: Sequence[Stage] = STAGES) -> dict[Stage, Tensor]:
        """Feature maps for dense tasks.

        Args:
            images: (B, 3, H, W), as for `forward`.
            stages: which of ``"c2"``, ``"c3"``, ``"c4"``, ``"c5"``; no stage beyond the last one is computed.

        Returns:
            Stage -> (B, C, ⌈H/stride⌉, ⌈W/stride⌉), in the order of ``stages``; see `specs`.

        Raises:
            InputError: as `forward`, or an unknown stage.
        """
        if isinstance(stages, str):
            raise InputError(f"Got stages={stages!r}; expected a sequence, such as ({stages!r},).")
        unknown = [stage for stage in stages if stage not in STAGES]
        if unknown or not stages:
            raise InputError(f"Got stages {list(stages)}; expected one or more of {', '.join(STAGES)}.")
        check_images(images, self.backbone.first_weight)
        maps = self.backbone.forward_stages(images, stages)
        check_finite(images, maps[max(stages, key=STAGES.index)], training=self.training)
        return maps

    def extra_repr(self) -> str:
        """One line above the layers: network, width of the embedding, input, and where the weights come from."""
        origin = f", from {self.name_or_path!r}" if self.name_or_path else ""
        return (
            f"{self.config.architecture}: {self.preprocessing.crop} px pictures to {self.feature_dim} numbers{origin}"
        )

    def embed(self, images: Picture | Sequence[Picture], batch_size: int = 64) -> Tensor:
        """Embed pictures, preprocessing included, in eval mode and without gradients.

        Args:
            images: one picture or several, each a path, a PIL image, a uint8 array (H, W, 3) or (H, W), or a tensor
                (3, H, W), uint8 or floating on [0, 1]; or a batch of those with a leading dimension.
            batch_size: how many go through the network at once.

        Returns:
            (N, D) float32 on the CPU, in the order given; (0, D) for none.

        Raises:
            InputError: a picture cannot be read or used; the message tells which.
        """
        if batch_size < 1:
            raise InputError(f"Got batch_size={batch_size}; expected 1 or more.")
        pictures, transform = as_pictures(images), self.preprocessing.transform()
        parts = [torch.empty(0, self.feature_dim)]
        with evaluating(self), torch.inference_mode():
            for start in range(0, len(pictures), batch_size):
                batch = convert_pictures(pictures[start : start + batch_size], transform, first=start)
                parts.append(self(torch.stack(batch).to(self.device, self.dtype)).float().cpu())
        return torch.cat(parts)  # outside of inference mode: what comes back may be trained on


# Where encoders that were pickled by earlier versions look for their class.
__getattr__ = lazy_names(__name__, dict.fromkeys(("Encoder", "create_encoder"), "sslhsic_transfer.hub.encoder"))[0]
