"""Embedding files, read back: which picture each row is, and what made them."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from sslhsic_transfer._json import parse_json
from sslhsic_transfer._precision import Precision
from sslhsic_transfer.embed.part_files import METADATA_KEY
from sslhsic_transfer.errors import DataError
from sslhsic_transfer.models.preprocessing import Preprocessing


@dataclass(frozen=True)
class EmbeddingFile:
    """What a file of `embed_folder` holds.

    Attributes:
        paths: N paths, relative to the folder that was embedded, with forward slashes.
        embeddings: (N, D) float32, in the order of ``paths``.
        model: what `from_pretrained` was given.
        weights_sha256: hash of the weights that made the embeddings; embed queries by an encoder with the same one.
        preprocessing: what was done to each picture before.
        precision: of the network that made them.
        library_version: of the sslhsic_transfer that wrote the file.
    """

    paths: tuple[str, ...]
    embeddings: Tensor
    model: str
    weights_sha256: str
    preprocessing: Preprocessing
    precision: Precision
    library_version: str


def read_embeddings(path: str | Path) -> EmbeddingFile:
    """Read a file of `embed_folder` into memory: N · D · 4 bytes.

    Raises:
        DataError: no such file, or not one that `embed_folder` wrote.
    """
    try:
        with pq.ParquetFile(path) as file:
            facts = parse_json((file.schema_arrow.metadata or {})[METADATA_KEY])
            paths: list[str] = []
            embeddings = torch.empty(file.metadata.num_rows, file.schema_arrow.field("embedding").type.list_size)
            for group in file.iter_batches():
                rows = embeddings[len(paths) : len(paths) + len(group)]
                rows.numpy().ravel()[:] = group["embedding"].flatten().to_numpy()
                paths += group["path"].to_pylist()
        preprocessing = Preprocessing.model_validate(facts["preprocessing"])
        told = {name: facts[name] for name in ("model", "weights_sha256", "precision", "library_version")}
    except FileNotFoundError as error:
        raise DataError(f"{path} is not there; expected a file of `sslhsic embed`.") from error
    except (OSError, pa.ArrowException, LookupError, TypeError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} is not a file that `sslhsic embed` wrote, or damaged: {reason}") from error
    return EmbeddingFile(tuple(paths), embeddings, preprocessing=preprocessing, **told)
