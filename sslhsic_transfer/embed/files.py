"""Embedding jobs: every picture of a source to a row of a file, written during the run so that memory stays small."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import sslhsic_transfer
from sslhsic_transfer._devices import computing_device
from sslhsic_transfer._locks import lock_beside, writing
from sslhsic_transfer._precision import Precision, StoredType
from sslhsic_transfer.data.image_folder import ImageFolder
from sslhsic_transfer.data.images import KeyedPictures
from sslhsic_transfer.data.sources.find import find_pictures
from sslhsic_transfer.data.sources.fingerprint import fingerprint
from sslhsic_transfer.data.sources.lists import ListedPictures
from sslhsic_transfer.data.sources.shards import ShardedPictures
from sslhsic_transfer.embed.extract import extract_batches
from sslhsic_transfer.embed.formats import format_of
from sslhsic_transfer.embed.formats.format import Format
from sslhsic_transfer.embed.outputs import output_sizes, parse_outputs
from sslhsic_transfer.embed.parts import Parts
from sslhsic_transfer.embed.rows import RowLayout
from sslhsic_transfer.errors import ConfigError, DataError, OutputExistsError
from sslhsic_transfer.hub.encoder import from_pretrained


@dataclass(frozen=True)
class EmbeddingReport:
    """Result of `embed`.

    Attributes:
        output: the file.
        rows: number of embedded pictures.
        dim: number of values in a row, over all outputs.
        skipped: (path, reason) of pictures that could not be read; also in ``<output>.skipped.csv``.
        resumed: number of pictures already embedded by an earlier, interrupted call.
    """

    output: Path
    rows: int
    dim: int
    skipped: tuple[tuple[str, str], ...]
    resumed: int


@dataclass(frozen=True)
class _Job:
    """The request of one call of `embed`.

    Attributes:
        model: the model.
        pictures: the pictures.
        place: the source's name in messages.
        outputs: names of the outputs.
        dtype: type of their values.
        normalize: whether vectors are divided by their norms.
        precision: the network's precision.
    """

    model: str
    pictures: KeyedPictures
    place: str
    outputs: tuple[Any, ...]
    dtype: StoredType
    normalize: bool
    precision: Precision


def embed(
    model: str | Path,
    source: str | Path,
    output: str | Path,
    *,
    outputs: str | Sequence[str] = "pooled",
    dtype: StoredType = "float32",
    normalize: bool = False,
    batch_size: int = 64,
    workers: int = 0,
    device: str | None = None,
    precision: Precision = "fp32",
    overwrite: bool = False,
    progress: bool = True,
) -> EmbeddingReport:
    """Embed every picture of a source into a file.

    A row has the ``path`` (relative to a folder, with forward slashes; else the key within the source), ``width`` and
    ``height`` of the upright picture, its ``label`` where the source has labels, and the outputs: ``embedding`` for the
    pooled one, else by its name. The file's metadata hold the model, the hash of its weights and its preprocessing.
    Pictures that cannot be read are skipped and listed.

    Finished rows are stored in ``<output>.parts`` until the file is complete. The same call resumes an interrupted one
    and ends with the same file. A kill loses at most 2,048 pictures, Ctrl-C none. Each part has a hash; a damaged part
    is computed again, with a warning.

    Args:
        model: a name or path for `from_pretrained`.
        source: a folder, searched recursively, tar shards, a list of files, or an address: see `find_pictures`.
        output: the file, ending in ``.parquet``, ``.safetensors`` or, with one output, ``.npy``.
        outputs: ``"pooled"``, and for the mean of a stage's feature map ``"c2"``, … ``"c5"``: names, or one text with
            commas.
        dtype: type of the values in the file.
        normalize: whether to divide each vector by its Euclidean norm.
        batch_size: number of pictures in a batch.
        workers: processes that read pictures.
        device: where to compute; by default an accelerator if there is one, else the CPU.
        precision: the network's precision; ``"bf16"`` and ``"fp16"`` take about half the time.
        overwrite: whether an existing file, or the unfinished rows of another job, may be replaced.
        progress: whether to show a progress bar.

    Returns:
        A report of the rows written and the pictures skipped.

    Raises:
        ConfigError: the output's name or the outputs are not valid, or do not go together.
        OutputExistsError: the output exists, or unfinished rows of other weights or pictures exist, and ``overwrite``
            is false; or the folder for unfinished rows holds files that no job wrote.
        OutputBusyError: another process is writing the output.
        DataError: the source holds no pictures, or no readable ones, or one whose name is not UTF-8.
    """
    output, chosen = Path(output), parse_outputs(outputs)
    form = format_of(output)
    if len(chosen) > 1 and not form.several:
        raise ConfigError(f"Got the outputs {','.join(chosen)}; a {output.suffix} file holds one. Use .parquet.")
    if output.is_dir():
        raise ConfigError(f"The output {output} is a folder; expected a file's name.")
    with writing(output, lock_beside(output)):
        there = [path for path in (output, *form.beside(output)) if path.exists()]
        if there and not overwrite:
            raise OutputExistsError(
                f"{there[0]} already exists; choose another name, or pass overwrite=True (--overwrite)."
            )
        pictures = find_pictures(source)
        job = _Job(str(model), pictures, str(source), chosen, dtype, normalize, precision)
        options = {"batch_size": batch_size, "workers": workers, "progress": "embed" if progress else None}
        return _embed(job, output, form, device, overwrite, options)


def embed_folder(model: str | Path, images: str | Path, output: str | Path, **options: Any) -> EmbeddingReport:
    """Embed every picture below a folder into a file: `embed` of a folder, which takes the same options."""
    if not Path(images).is_dir():
        raise DataError(f"{images} is not a folder; expected a folder of pictures.")
    return embed(model, images, output, **options)


def _embed(
    job: _Job, output: Path, form: Format, device: str | None, overwrite: bool, options: dict[str, Any]
) -> EmbeddingReport:
    pictures = job.pictures
    names = _names(job)
    labels = [pictures.classes[label] for label in pictures.labels]
    encoder = from_pretrained(job.model, device=computing_device(device))
    encoder = encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    layout = RowLayout(output_sizes(encoder, job.outputs), job.dtype, bool(labels))
    facts = {
        "model": job.model,
        "weights_sha256": encoder.weights_sha256,
        "preprocessing": encoder.preprocessing.model_dump(mode="json"),
        "precision": job.precision,
        "normalized": job.normalize,
        "library_version": sslhsic_transfer.__version__,
    }
    rows = {"outputs": dict(layout.outputs), "dtype": job.dtype, "pictures": len(names)}
    state = {"names, sizes and times of pictures": _state_of(pictures, names)}
    parts = Parts(output, facts | rows | state, layout, overwrite=overwrite)
    resumed = start = parts.done
    options |= {"start": start, "precision": job.precision, "normalize": job.normalize}
    with parts:
        for batch in extract_batches(encoder, pictures, job.outputs, **options):
            stop = start + len(batch.sizes) + len(batch.errors)
            readable = [index for index in range(start, stop) if index not in batch.errors]
            start = stop
            table = layout.table(
                [names[index] for index in readable],
                batch.sizes,
                [labels[index] for index in readable] if labels else [],
                {name: values.numpy() for name, values in batch.outputs.items()},
            )
            parts.add(table, [(names[index], reason) for index, reason in batch.errors.items()])
    if len(parts.skipped) == len(names):
        parts.remove()
        reason = parts.skipped[0][1]
        raise DataError(f"None of the {len(names)} pictures in {job.place} can be read; the first: {reason}")
    parts.merge(facts, form)
    rows_written = len(names) - len(parts.skipped)
    return EmbeddingReport(output, rows_written, sum(layout.outputs.values()), tuple(parts.skipped), resumed)


def _state_of(pictures: KeyedPictures, names: list[str]) -> str:
    """Hash what tells whether pictures have changed: of files names, sizes and modification times."""
    if not isinstance(pictures, ImageFolder | ListedPictures):
        digest = hashlib.sha256(fingerprint(pictures).encode())
        for shard in pictures.shards if isinstance(pictures, ShardedPictures) else ():
            digest.update(f"{shard.name}\0{shard.stat().st_mtime_ns}\n".encode())
        return digest.hexdigest()
    digest = hashlib.sha256()
    paths = pictures.paths if isinstance(pictures, ImageFolder) else map(pictures.path, range(len(pictures)))
    for name, path in zip(names, paths, strict=True):
        try:
            status = path.stat()
        except (OSError, ValueError):  # a name that leads nowhere, which is told when it is read
            if isinstance(pictures, ImageFolder):
                raise
            digest.update(f"{name}\0\n".encode())
            continue
        digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _names(job: _Job) -> list[str]:
    names = [job.pictures.key(index) for index in range(len(job.pictures))]
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise DataError(
                f"The file name {name!r} in {job.place} is not UTF-8, as rows must be; rename it."
            ) from None
    return names
