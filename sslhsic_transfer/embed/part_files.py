"""Files of an unfinished embedding job: Parquet, each with a hash of its rows and of the job."""

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

from sslhsic_transfer._files import atomic_path
from sslhsic_transfer._json import parse_json
from sslhsic_transfer.embed.rows import RowLayout

_KEY = b"sslhsic_transfer.part"
_NAME = re.compile(r"(\d{10,})-(\d{10,})\.parquet")
_GROUP_ROWS = 2048


class PartError(Exception):
    """Raised for a part that cannot be used; the message is a sentence that names the part and the reason."""


@dataclass(frozen=True)
class Part:
    """Consecutive pictures of a job.

    Attributes:
        stop: number of the picture after the last one.
        table: rows of the readable pictures.
        skipped: (path, reason) of the other pictures.
    """

    stop: int
    table: pa.Table
    skipped: list[tuple[str, str]]


def is_part(path: Path) -> bool:
    """Tell whether a file has a part's name."""
    return _NAME.fullmatch(path.name) is not None


def parts_from(folder: Path, start: int) -> list[Path]:
    """Return the parts that begin at a picture, by their file names, ordered by where they end."""
    return sorted(path for path in folder.glob(f"{start:010d}-*.parquet") if is_part(path) and _bounds(path)[1] > start)


def write_part(
    folder: Path, job: Mapping[str, Any], start: int, table: pa.Table, skipped: Sequence[tuple[str, str]]
) -> Path:
    """Write the next pictures of a job as a part.

    Args:
        folder: the folder of parts.
        job: the values that the rows depend on.
        start: number of the first picture.
        table: rows of the readable pictures.
        skipped: (path, reason) of the other pictures.
    """
    stop = start + len(table) + len(skipped)
    facts: dict[str, Any] = {"skipped": [list(row) for row in skipped]}
    facts["sha256"] = _hash_of(job, start, stop, table, facts["skipped"])
    path = folder / f"{start:010d}-{stop:010d}.parquet"
    with atomic_path(path) as temporary:
        pq.write_table(table.replace_schema_metadata({_KEY: json.dumps(facts)}), temporary)
    return path


def read_part(path: Path, job: Mapping[str, Any], layout: RowLayout) -> Part:
    """Read a part and compare its hash.

    Raises:
        PartError: the part is damaged, or belongs to another job.
        PermissionError: the file may not be read.
    """
    start, stop = _bounds(path)
    try:
        table = pq.read_table(path, partitioning=None)
        facts = parse_json((table.schema.metadata or {})[_KEY])
        skipped = [(str(name), str(reason)) for name, reason in facts["skipped"]]
        if not table.schema.equals(layout.schema):
            raise ValueError("it has other columns")
        if len(table) + len(skipped) != stop - start:
            raise ValueError(f"it holds {len(table) + len(skipped)} pictures")
        if facts["sha256"] != _hash_of(job, start, stop, table, facts["skipped"]):
            raise ValueError("its hash is not that of these rows of this job")
    except PermissionError:
        raise
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError, AttributeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise PartError(f"The part {path} is damaged, or of another job or version ({reason}).") from error
    return Part(stop, table, skipped)


def grouped(files: Sequence[Path], job: Mapping[str, Any], layout: RowLayout) -> Iterator[pa.Table]:
    """Read the rows of parts in tables of 2,048, whatever the sizes of the parts.

    Args:
        files: the parts, in order.
        job: the values that the rows depend on.
        layout: the columns of the rows.

    Raises:
        PartError: a part is damaged.
    """
    return _groups(read_part(file, job, layout).table for file in files)


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


def _hash_of(job: Mapping[str, Any], start: int, stop: int, table: pa.Table, skipped: Any) -> str:
    digest = hashlib.sha256(json.dumps([job, start, stop, skipped], sort_keys=True).encode())
    for field in table.schema:
        column = table[field.name].combine_chunks()
        if pa.types.is_string(field.type):
            digest.update(json.dumps(column.to_pylist()).encode())
        else:
            values = column.flatten() if pa.types.is_fixed_size_list(field.type) else column
            digest.update(np.ascontiguousarray(values.to_numpy(zero_copy_only=False)).tobytes())
    return digest.hexdigest()
