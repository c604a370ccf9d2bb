"""Pretrain image encoders with SSL-HSIC and use the same weights everywhere.

>>> from sslhsic_transfer import from_pretrained
>>> encoder = from_pretrained("runs/demo/model")
>>> embeddings = encoder.embed(["cat.jpg", "dog.jpg"])  # (2, D)

Importing this package loads nothing else: each public name is imported when first used.
"""

from typing import TYPE_CHECKING

from sslhsic_transfer._lazy import lazy_names

if TYPE_CHECKING:
    from sslhsic_transfer.hsic.loss import SSLHSICLoss as SSLHSICLoss
    from sslhsic_transfer.hub.encoder import Encoder as Encoder
    from sslhsic_transfer.hub.encoder import create_encoder as create_encoder
    from sslhsic_transfer.hub.encoder import from_pretrained as from_pretrained
    from sslhsic_transfer.hub.zoo import list_models as list_models
    from sslhsic_transfer.models.config import EncoderConfig as EncoderConfig
    from sslhsic_transfer.models.preprocessing import Preprocessing as Preprocessing

__version__ = "0.1.0"

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Encoder": "sslhsic_transfer.hub.encoder",
        "EncoderConfig": "sslhsic_transfer.models.config",
        "Preprocessing": "sslhsic_transfer.models.preprocessing",
        "SSLHSICLoss": "sslhsic_transfer.hsic.loss",
        "create_encoder": "sslhsic_transfer.hub.encoder",
        "from_pretrained": "sslhsic_transfer.hub.encoder",
        "list_models": "sslhsic_transfer.hub.zoo",
    }
    | {
        part: f"{__name__}.{part}"
        for part in (
            "adapters",
            "data",
            "embed",
            "errors",
            "evaluate",
            "hsic",
            "hub",
            "metrics",
            "models",
            "pretrain",
            "sample",
            "training",
            "transfer",
        )
    },
)
