"""Folders of pictures to embeddings: in memory, or to a file with one row a picture."""

from sslhsic_transfer.embed.extract import extract
from sslhsic_transfer.embed.files import embed_folder

__all__ = ["embed_folder", "extract"]
