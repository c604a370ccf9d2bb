"""Embedding of pictures from any source, in memory or to a file with one row per picture; reading of such files."""

from sslhsic_transfer.embed.extract import extract
from sslhsic_transfer.embed.files import EmbeddingReport, embed, embed_folder
from sslhsic_transfer.embed.reading import EmbeddingFile, read_embeddings

__all__ = ["EmbeddingFile", "EmbeddingReport", "embed", "embed_folder", "extract", "read_embeddings"]
