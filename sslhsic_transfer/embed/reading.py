"""Reading of embedding files: the picture of each row, and the model and settings that made them."""

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
    """Content of a file written by `embed_folder`.

    Attributes:
        paths: N paths, relative to the folder that was embedded, with forward slashes.
        embeddings: (N, D) float32, in the order of ``paths``.
        model: the name or path given to `from_pretrained`.
        weights_sha256: hash of the weights that made the embeddings; embed queries with an encoder of the same hash.
        preprocessing: the preprocessing of each picture.
        precision: the precision of the network.
        library_version: the version of sslhsic_transfer that wrote the file.
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
        DataError: the file does not exist, or `embed_folder` did not write it.
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
