"""Files that are either complete or absent: written under a temporary name next to the target, then renamed."""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sslhsic_transfer._json import parse_json


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Give a temporary path in the target's folder; rename it to ``target`` on success, remove it on failure.

    The file gets the permissions of the user's umask, whoever wrote it: safetensors would make it private to its owner.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    temporary.touch()
    mode = temporary.stat().st_mode
    temporary.unlink()
    try:
        yield temporary
        with temporary.open("r+b") as file:  # Windows flushes only files open for writing
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def removed_on_failure(folder: Path) -> Iterator[None]:
    """Remove a folder and its content if writing fails, unless the folder existed before."""
    first = next((path for path in reversed((folder, *folder.parents)) if not path.exists()), None)
    try:
        yield
    except BaseException:
        if first is not None:
            shutil.rmtree(first, ignore_errors=True)
        raise


def copy_file(source: Path, target: Path) -> None:
    """Copy a file's bytes atomically."""
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)


def write_text(target: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def json_text(value: Any) -> str:
    """Return the text that `write_json` writes."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def write_json(target: Path, value: Any) -> None:
    """Write a JSON file atomically, indented, with a final newline."""
    write_text(target, json_text(value))


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Read the JSON objects of a file, one on each line, without lines cut by a crash; a missing file has none."""
    if not path.exists():
        return []
    records = []
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]:
        with suppress(ValueError):
            if isinstance(record := parse_json(line), dict):
                records.append(record)
    return records


def append_json_lines(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Append objects to a file, one on each line; a line cut by a crash stays separate."""
    with path.open("ab+") as file:
        torn = False
        if file.tell():
            file.seek(-1, os.SEEK_END)
            torn = file.read(1) != b"\n"
        lines = _json_lines(records).encode(errors="backslashreplace")  # file names may not be UTF-8
        file.write((b"\n" if torn else b"") + lines)


def write_json_lines(target: Path, records: Iterable[dict[str, Any]]) -> None:
    """Write a file with one object on each line atomically."""
    write_text(target, _json_lines(records))


def _json_lines(records: Iterable[dict[str, Any]]) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
