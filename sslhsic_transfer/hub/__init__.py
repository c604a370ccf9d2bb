"""Names and folders to encoders, and encoders to folders."""

from sslhsic_transfer.hub.folder import load_folder, save_folder
from sslhsic_transfer.hub.loading import from_pretrained

__all__ = ["from_pretrained", "load_folder", "save_folder"]
