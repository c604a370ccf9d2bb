"""Loading and saving encoders: by name, from model folders, and from repositories on the Hugging Face Hub."""

from typing import TYPE_CHECKING

from sslhsic_transfer._lazy import lazy_names

if TYPE_CHECKING:
    from sslhsic_transfer.hub.encoder import from_pretrained as from_pretrained
    from sslhsic_transfer.hub.encoder import load_folder as load_folder
    from sslhsic_transfer.hub.folder import save_folder as save_folder
    from sslhsic_transfer.hub.zoo import list_models as list_models

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "from_pretrained": "sslhsic_transfer.hub.encoder",
        "list_models": "sslhsic_transfer.hub.zoo",
        "load_folder": "sslhsic_transfer.hub.encoder",
        "save_folder": "sslhsic_transfer.hub.folder",
    },
)
