"""Embedding files: Apache Parquet, one row a picture, written as the encoder runs so that memory stays small."""

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

import sslhsic_transfer
from sslhsic_transfer._files import atomic_path, write_text
from sslhsic_transfer.embed.extract import extract_batches
from sslhsic_transfer.errors import ConfigError, DataError, OutputExistsError
from sslhsic_transfer.hub.loading import from_pretrained
from sslhsic_transfer.image_folder import ImageFolder


@dataclass(frozen=True)
class EmbeddingReport:
    """What was written.

    Attributes:
        output: the file.
        rows: pictures embedded.
        dim: D, length of an embedding.
        skipped: (path, reason) of pictures that could not be read; also in ``<output>.skipped.csv``.
    """

    output: Path
    rows: int
    dim: int
    skipped: tuple[tuple[str, str], ...]


def embed_folder(
    model: str | Path,
    images: str | Path,
    output: str | Path,
    *,
    batch_size: int = 64,
    workers: int = 0,
    device: str | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> EmbeddingReport:
    """Embed every picture below a folder into a Parquet file.

    Columns: ``path`` (relative to ``images``, with forward slashes) and ``embedding`` (D float32). The file's metadata
    hold the model, the hash of its weights and its preprocessing. Pictures that cannot be read are skipped and listed.

    Args:
        model: anything that `from_pretrained` takes.
        images: a folder, searched recursively.
        output: the file, ending in ``.parquet``.
        batch_size: how many pictures go through the network at once.
        workers: processes that read pictures.
        device: where to compute; by default CUDA where there is one, else the CPU.
        overwrite: whether an existing file may be replaced.
        progress: whether to show a progress bar.

    Returns:
        What was written.

    Raises:
        ConfigError: the output's name does not end in .parquet.
        OutputExistsError: the output exists and ``overwrite`` is false.
        DataError: the folder holds no pictures, or none that can be read.
    """
    import torch

    output = Path(output)
    if output.suffix != ".parquet":
        raise ConfigError(f"Got the output {output}; expected a name ending in .parquet.")
    if output.exists() and not overwrite:
        raise OutputExistsError(f"{output} already exists; choose another name, or pass --overwrite.")
    folder = ImageFolder.scan(images)
    encoder = from_pretrained(model, device=device or ("cuda" if torch.cuda.is_available() else "cpu"))
    names = [path.relative_to(folder.root).as_posix() for path in folder.paths]
    schema = pa.schema(
        [("path", pa.string()), ("embedding", pa.list_(pa.float32(), encoder.feature_dim))],
        metadata={
            "sslhsic_transfer": json.dumps(
                {
                    "model": str(model),
                    "weights_sha256": encoder.weights_sha256,
                    "preprocessing": encoder.preprocessing.model_dump(mode="json"),
                    "library_version": sslhsic_transfer.__version__,
                }
            )
        },
    )
    skipped: list[tuple[str, str]] = []
    start = 0
    with atomic_path(output) as temporary:
        with pq.ParquetWriter(temporary, schema) as writer:
            for embeddings, errors in extract_batches(
                encoder,
                folder.paths,
                batch_size=batch_size,
                workers=workers,
                progress="embed" if progress else None,
            ):
                stop = start + len(embeddings) + len(errors)
                readable = [names[index] for index in range(start, stop) if index not in errors]
                skipped += [(names[index], reason) for index, reason in errors.items()]
                start = stop
                if readable:
                    writer.write_table(_table(readable, embeddings, schema))
        if len(skipped) == len(folder):
            raise DataError(
                f"None of the {len(folder)} pictures in {folder.root} can be read; the first: {skipped[0][1]}"
            )
    report = Path(f"{output}.skipped.csv")
    report.unlink(missing_ok=True)
    if skipped:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([("path", "reason"), *skipped])
        write_text(report, text.getvalue())
    return EmbeddingReport(output, len(folder) - len(skipped), encoder.feature_dim, tuple(skipped))


def _table(names: list[str], embeddings: Tensor, schema: pa.Schema) -> pa.Table:
    values = pa.FixedSizeListArray.from_arrays(pa.array(embeddings.numpy().ravel()), embeddings.shape[1])
    return pa.table([pa.array(names), values], schema=schema)
