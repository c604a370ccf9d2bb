"""Storage of a long embedding job: finished rows are kept in parts next to the output until it is complete."""

import csv
import io
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from sslhsic_transfer._files import write_json, write_text
from sslhsic_transfer._json import read_json
from sslhsic_transfer.embed.formats.format import Format, Rows
from sslhsic_transfer.embed.part_files import PartError, grouped, is_part, parts_from, read_part, write_part
from sslhsic_transfer.embed.rows import RowLayout
from sslhsic_transfer.errors import DataError, OutputExistsError

_JOB_NAME = "job.json"
_PART_ROWS = 2048


class Parts:
    """The folder ``<output>.parts``: one Parquet file for about 2,048 pictures, and the job that they belong to.

    Used as a context manager, it writes the rows added last when it exits: an exception or Ctrl-C loses nothing, a kill
    at most one part.

    Attributes:
        done: number of the job's first pictures that are in parts, including unreadable ones.
        skipped: (path, reason) of those that could not be read.
    """

    def __init__(self, output: Path, job: Mapping[str, Any], layout: RowLayout, *, overwrite: bool) -> None:
        """Resume the job in the folder, or begin one. A damaged part and those after it are computed again.

        Args:
            output: the file that `merge` will write.
            job: the values that the rows depend on, as JSON values; parts of another job are not used.
            layout: the columns of the rows.
            overwrite: whether parts of another job may be removed.

        Raises:
            OutputExistsError: parts of another job exist and ``overwrite`` is false, or files that no job wrote.
        """
        self.output = output
        self.folder = parts_folder(output)
        self.job = dict(job)
        self.layout = layout
        self.files: list[Path] = []
        self.skipped: list[tuple[str, str]] = []
        self.done = 0
        self._clear()
        self._refuse_what_is_not_ours()
        self._begin(overwrite)

    def _refuse_what_is_not_ours(self) -> None:
        if self.folder.exists() and not self.folder.is_dir():
            raise OutputExistsError(f"{self.folder} is a file; unfinished rows go there: move it away.")
        foreign = [entry.name for entry in self._entries() if not _is_ours(entry)]
        if foreign:
            raise OutputExistsError(
                f"{self.folder} holds {foreign[0]}, which no embedding job has written; unfinished rows go there: move "
                "the folder away, or choose another output."
            )

    def _begin(self, overwrite: bool) -> None:
        path = self.folder / _JOB_NAME
        was, problem = _read_job(path)
        differing = [key for key in self.job if was.get(key) != self.job[key]] if was is not None else []
        if differing and not overwrite:
            told = ", ".join(f"{key} {_short((was or {}).get(key))} instead of {self.job[key]}" for key in differing)
            raise OutputExistsError(
                f"{self.folder} holds the unfinished rows of another job: {told}. Finish that one, choose another "
                "output, or pass --overwrite to begin anew."
            )
        damage = None if differing else self._take_up()
        if problem is not None and any(is_part(entry) for entry in self._entries()):
            if not self.done and not overwrite:
                raise OutputExistsError(
                    f"{problem}, and the rows beside it are damaged or of another job: pass --overwrite to begin anew, "
                    "or choose another output."
                )
            warnings.warn(f"{problem}: rows that are of this job by their own hash are kept.", stacklevel=2)
        if damage is not None:
            warnings.warn(f"{damage} Going on after {self.done} of {self.job['pictures']} pictures.", stacklevel=2)
        for entry in self._entries():
            if entry not in self.files:
                entry.unlink()
        write_json(path, self.job)

    def _take_up(self) -> PartError | None:
        """Find the job's intact parts, from the first on; return why a later one cannot be used."""
        damage = None
        while self.done < self.job["pictures"]:
            for path in parts_from(self.folder, self.done):
                try:
                    part = read_part(path, self.job, self.layout)
                except PartError as error:
                    damage = error
                    continue
                self.files.append(path)
                self.skipped += part.skipped
                self.done = part.stop
                break
            else:
                return damage
        return None

    def _entries(self) -> list[Path]:
        return sorted(self.folder.iterdir()) if self.folder.is_dir() else []

    def _clear(self) -> None:
        self._tables: list[pa.Table] = []
        self._skipped: list[tuple[str, str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._write()

    def add(self, table: pa.Table, skipped: list[tuple[str, str]]) -> None:
        """Add the next pictures: rows of the readable ones, path and reason of the others."""
        self._tables.append(table)
        self._skipped += skipped
        if sum(map(len, self._tables)) + len(self._skipped) >= _PART_ROWS:
            self._write()

    def _write(self) -> None:
        table = pa.concat_tables([self.layout.schema.empty_table(), *self._tables]).combine_chunks()
        if not len(table) and not self._skipped:
            return
        self.files.append(write_part(self.folder, self.job, self.done, table, self._skipped))
        self.skipped += self._skipped
        self.done += len(table) + len(self._skipped)
        self._clear()

    def merge(self, facts: Mapping[str, Any], form: Format) -> None:
        """Write the list of skipped pictures, then the output next to it; remove the parts.

        Rows come in tables of 2,048 wherever the job was interrupted, so that the file is always the same to the byte.

        Raises:
            DataError: a part was damaged after it was written; no output is written.
        """
        report = Path(f"{self.output}.skipped.csv")
        report.unlink(missing_ok=True)
        if self.skipped:
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows([("path", "reason"), *self.skipped])
            write_text(report, text.getvalue())
        tables = partial(grouped, self.files, self.job, self.layout)
        try:
            form.write(self.output, Rows(self.layout, self.done - len(self.skipped), facts, tables))
        except PartError as error:
            raise DataError(f"{error} Start the same command again: it goes on before that part.") from error
        self.remove()

    def remove(self) -> None:
        """Remove the parts, and the job's file last."""
        for entry in sorted(self._entries(), key=lambda path: path.name == _JOB_NAME):
            entry.unlink()
        if not self.folder.is_symlink():
            self.folder.rmdir()


def parts_folder(output: Path) -> Path:
    """Return the folder for the parts of an output."""
    return Path(f"{output}.parts")


def pictures_done(output: Path) -> int:
    """Return how many pictures of an unfinished job are in parts, by the names of the parts."""
    done = 0
    while found := parts_from(parts_folder(output), done):
        done = int(found[-1].stem.partition("-")[2])
    return done


def _is_ours(path: Path) -> bool:
    temporary = path.name.startswith(".") and path.name.endswith(".tmp")
    return path.is_file() and (path.name == _JOB_NAME or temporary or is_part(path))


def _read_job(path: Path) -> tuple[dict[str, Any] | None, str | None]:
    """Return the job of the folder's parts, or None and why it is unknown."""
    try:
        job = read_json(path)
    except FileNotFoundError:
        return None, f"{path} is not there"
    except PermissionError:
        raise
    except (OSError, ValueError) as error:
        return None, f"{path} is damaged ({error})"
    if not isinstance(job, dict):
        return None, f"{path} is damaged (it holds a {type(job).__name__})"
    return job, None


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) < 200 else f"{text[:200]}…"
