"""Backbones of several families, the preprocessing of pictures, and the two tied together as an encoder."""

from typing import TYPE_CHECKING

from sslhsic_transfer._lazy import lazy_names

if TYPE_CHECKING:
    from sslhsic_transfer.hub.encoder import Encoder as Encoder
    from sslhsic_transfer.hub.encoder import create_encoder as create_encoder
    from sslhsic_transfer.models.config import EncoderConfig as EncoderConfig
    from sslhsic_transfer.models.config import FeatureSpec as FeatureSpec
    from sslhsic_transfer.models.preprocessing import Preprocessing as Preprocessing

# Lazy, because the configuration and the preprocessing are also read where torch is not installed.
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Encoder": "sslhsic_transfer.hub.encoder",
        "EncoderConfig": "sslhsic_transfer.models.config",
        "FeatureSpec": "sslhsic_transfer.models.config",
        "Preprocessing": "sslhsic_transfer.models.preprocessing",
        "create_encoder": "sslhsic_transfer.hub.encoder",
    },
)
