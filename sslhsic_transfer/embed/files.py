"""Embedding files: Apache Parquet, one row for each picture, written during the run so that memory use stays small."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import sslhsic_transfer
from sslhsic_transfer._devices import computing_device
from sslhsic_transfer._locks import lock_beside, writing
from sslhsic_transfer._precision import Precision
from sslhsic_transfer.data.image_folder import ImageFolder
from sslhsic_transfer.embed.extract import extract_batches
from sslhsic_transfer.embed.parts import Parts
from sslhsic_transfer.errors import ConfigError, DataError, OutputExistsError
from sslhsic_transfer.hub.encoder import from_pretrained


@dataclass(frozen=True)
class EmbeddingReport:
    """Result of `embed_folder`.

    Attributes:
        output: the file.
        rows: number of embedded pictures.
        dim: D, the length of an embedding.
        skipped: (path, reason) of pictures that could not be read; also in ``<output>.skipped.csv``.
        resumed: number of pictures already embedded by an earlier, interrupted call.
    """

    output: Path
    rows: int
    dim: int
    skipped: tuple[tuple[str, str], ...]
    resumed: int


def embed_folder(
    model: str | Path,
    images: str | Path,
    output: str | Path,
    *,
    batch_size: int = 64,
    workers: int = 0,
    device: str | None = None,
    precision: Precision = "fp32",
    overwrite: bool = False,
    progress: bool = True,
) -> EmbeddingReport:
    """Embed every picture below a folder into a Parquet file.

    Columns: ``path`` (relative to ``images``, with forward slashes) and ``embedding`` (D float32). The file's metadata
    hold the model, the hash of its weights and its preprocessing. Pictures that cannot be read are skipped and listed.

    Finished rows are stored in ``<output>.parts`` until the file is complete. The same call resumes an interrupted one
    and ends with the same file. A kill loses at most 2,048 pictures, Ctrl-C none. Each part has a hash; a damaged part
    is computed again, with a warning.

    Args:
        model: a name or path for `from_pretrained`.
        images: a folder, searched recursively.
        output: the file, ending in ``.parquet``.
        batch_size: number of pictures in a batch.
        workers: processes that read pictures.
        device: where to compute; by default an accelerator if there is one, else the CPU.
        precision: the network's precision; ``"bf16"`` and ``"fp16"`` take about half the time. The file holds float32.
        overwrite: whether an existing file, or the unfinished rows of another job, may be replaced.
        progress: whether to show a progress bar.

    Returns:
        A report of the rows written and the pictures skipped.

    Raises:
        ConfigError: the output's name does not end in .parquet.
        OutputExistsError: the output exists, or unfinished rows of other weights or pictures exist, and ``overwrite``
            is false; or the folder for unfinished rows holds files that no job wrote.
        OutputBusyError: another process is writing the output.
        DataError: the folder holds no pictures, or no readable ones, or one whose name is not UTF-8.
    """
    output = Path(output)
    if output.suffix != ".parquet":
        raise ConfigError(f"Got the output {output}; expected a name ending in .parquet.")
    if output.is_dir():
        raise ConfigError(f"The output {output} is a folder; expected a file's name.")
    with writing(output, lock_beside(output)):
        if output.exists() and not overwrite:
            raise OutputExistsError(
                f"{output} already exists; choose another name, or pass overwrite=True (--overwrite)."
            )
        options: dict[str, Any] = {"batch_size": batch_size, "workers": workers}
        return _embed(model, images, output, device, precision, overwrite, progress, options)


def _embed(
    model: str | Path,
    images: str | Path,
    output: Path,
    device: str | None,
    precision: Precision,
    overwrite: bool,
    progress: bool,
    options: dict[str, Any],
) -> EmbeddingReport:
    folder = ImageFolder.scan(images)
    names = _relative_names(folder)
    encoder = from_pretrained(model, device=computing_device(device))
    encoder = encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    facts = {
        "model": str(model),
        "weights_sha256": encoder.weights_sha256,
        "preprocessing": encoder.preprocessing.model_dump(mode="json"),
        "precision": precision,
        "library_version": sslhsic_transfer.__version__,
    }
    job = {**facts, "pictures": len(names), "names, sizes and times of pictures": _hash_of(folder, names)}
    parts = Parts(output, job, encoder.feature_dim, overwrite=overwrite)
    resumed = start = parts.done
    with parts:
        for embeddings, errors in extract_batches(
            encoder,
            folder.paths,
            start=resumed,
            precision=precision,
            progress="embed" if progress else None,
            **options,
        ):
            stop = start + len(embeddings) + len(errors)
            readable = [names[index] for index in range(start, stop) if index not in errors]
            start = stop
            parts.add(readable, embeddings, [(names[index], reason) for index, reason in errors.items()])
    if len(parts.skipped) == len(folder):
        parts.remove()
        raise DataError(
            f"None of the {len(folder)} pictures in {folder.root} can be read; the first: {parts.skipped[0][1]}"
        )
    parts.merge(facts)
    return EmbeddingReport(output, len(folder) - len(parts.skipped), encoder.feature_dim, tuple(parts.skipped), resumed)


def _hash_of(folder: ImageFolder, names: list[str]) -> str:
    """Hash names, sizes and modification times of the pictures."""
    digest = hashlib.sha256()
    for name, path in zip(names, folder.paths, strict=True):
        status = path.stat()
        digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _relative_names(folder: ImageFolder) -> list[str]:
    names = [path.relative_to(folder.root).as_posix() for path in folder.paths]
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise DataError(
                f"The file name {name!r} in {folder.root} is not UTF-8, as rows must be; rename it."
            ) from None
    return names
