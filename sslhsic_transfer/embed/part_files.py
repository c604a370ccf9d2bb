"""The files of an unfinished embedding job: Parquet, each with a hash of its rows and of the job that they are of."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sslhsic_transfer._files import atomic_path
from sslhsic_transfer._json import parse_json

METADATA_KEY = b"sslhsic_transfer"
_KEY = b"sslhsic_transfer.part"
_NAME = re.compile(r"(\d{10,})-(\d{10,})\.parquet")
_GROUP_ROWS = 2048


class PartError(Exception):
    """A part that cannot be used; the message is a sentence that names it and says why."""


@dataclass(frozen=True)
class Part:
    """Consecutive pictures of a job.

    Attributes:
        stop: number of the picture after the last.
        table: paths and embeddings of those that could be read.
        skipped: (path, reason) of the others.
    """

    stop: int
    table: pa.Table
    skipped: list[tuple[str, str]]


def schema_of(dim: int) -> pa.Schema:
    """Columns of a part, and of the whole."""
    return pa.schema([("path", pa.string()), ("embedding", pa.list_(pa.float32(), dim))])


def is_part(path: Path) -> bool:
    """Tell whether a file has a part's name."""
    return _NAME.fullmatch(path.name) is not None


def parts_from(folder: Path, start: int) -> list[Path]:
    """The parts that begin at a picture, by their names, in the order of their ends."""
    return sorted(path for path in folder.glob(f"{start:010d}-*.parquet") if is_part(path) and _bounds(path)[1] > start)


def write_part(
    folder: Path,
    job: Mapping[str, Any],
    start: int,
    names: Sequence[str],
    embeddings: NDArray[np.float32],
    skipped: Sequence[tuple[str, str]],
) -> Path:
    """Write the next pictures of a job.

    Args:
        folder: of the parts.
        job: what the rows depend on.
        start: number of the first picture.
        names: of the readable pictures.
        embeddings: (n, D) of them.
        skipped: (path, reason) of the others.
    """
    stop = start + len(names) + len(skipped)
    schema = schema_of(embeddings.shape[1])
    values = pa.FixedSizeListArray.from_arrays(pa.array(embeddings.ravel()), type=schema.field("embedding").type)
    table = pa.Table.from_arrays([pa.array(names, pa.string()), values], schema=schema)
    facts = {"skipped": [list(row) for row in skipped]}
    facts["sha256"] = _hash_of(job, start, stop, names, embeddings, facts["skipped"])  # type: ignore[assignment]
    path = folder / f"{start:010d}-{stop:010d}.parquet"
    with atomic_path(path) as temporary:
        pq.write_table(table.replace_schema_metadata({_KEY: json.dumps(facts)}), temporary)
    return path


def read_part(path: Path, job: Mapping[str, Any], dim: int) -> Part:
    """Read a part and compare its hash.

    Raises:
        PartError: it is damaged, or not of this job.
        PermissionError: it may not be read.
    """
    start, stop = _bounds(path)
    try:
        table = pq.read_table(path, partitioning=None)
        facts = parse_json((table.schema.metadata or {})[_KEY])
        skipped = [(str(name), str(reason)) for name, reason in facts["skipped"]]
        if not table.schema.equals(schema_of(dim)):
            raise ValueError("it has other columns")
        embeddings = table["embedding"].combine_chunks().flatten().to_numpy().reshape(-1, dim)
        names = table["path"].to_pylist()
        if len(names) + len(skipped) != stop - start:
            raise ValueError(f"it holds {len(names) + len(skipped)} pictures")
        if facts["sha256"] != _hash_of(job, start, stop, names, embeddings, facts["skipped"]):
            raise ValueError("its hash is not that of these rows of this job")
    except PermissionError:
        raise
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise PartError(f"The part {path} is damaged, or of another job or version ({reason}).") from error
    return Part(stop, table, skipped)


def merge_parts(
    files: Sequence[Path], output: Path, facts: Mapping[str, Any], job: Mapping[str, Any], dim: int
) -> None:
    """Write the rows of parts as one file, in groups of 2,048 whatever the parts hold.

    Args:
        files: the parts, in their order.
        output: the file.
        facts: what its metadata tell.
        job: what the rows depend on.
        dim: D, length of an embedding.

    Raises:
        PartError: one is damaged; there is no output then.
    """
    schema = schema_of(dim).with_metadata({METADATA_KEY: json.dumps(facts)})
    with atomic_path(output) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for rows in _groups(read_part(file, job, dim).table for file in files):
            # Memory of its own: how values lie in pages depends on the pieces that a column is in.
            writer.write_table(rows.combine_chunks().replace_schema_metadata(schema.metadata))


def _groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    waiting: pa.Table | None = None
    for table in tables:
        table = table.replace_schema_metadata(None)
        waiting = table if waiting is None else pa.concat_tables([waiting, table])
        while len(waiting) >= _GROUP_ROWS:
            yield waiting.slice(0, _GROUP_ROWS)
            waiting = waiting.slice(_GROUP_ROWS)
    if waiting is not None and len(waiting):
        yield waiting


def _bounds(path: Path) -> tuple[int, int]:
    start, _, stop = path.stem.partition("-")
    return int(start), int(stop)


def _hash_of(
    job: Mapping[str, Any],
    start: int,
    stop: int,
    names: Sequence[str],
    embeddings: NDArray[np.float32],
    skipped: Any,
) -> str:
    digest = hashlib.sha256(json.dumps([job, start, stop, list(names), skipped], sort_keys=True).encode())
    digest.update(np.ascontiguousarray(embeddings).tobytes())
    return digest.hexdigest()
