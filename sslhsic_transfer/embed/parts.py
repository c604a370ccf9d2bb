"""A long embedding job on a disk: what is done stands in parts beside the output until the last picture is there."""

import csv
import io
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from sslhsic_transfer._files import atomic_path, write_json, write_text
from sslhsic_transfer.errors import OutputExistsError

METADATA_KEY = b"sslhsic_transfer"
_SKIPPED_KEY = b"skipped"
_JOB_NAME = "job.json"
_PART_ROWS = 2048


class Parts:
    """The folder ``<output>.parts``: a Parquet file for every 2,048 pictures or so, and the job that they belong to.

    As a context it writes, at its end, what was added last: an exception or Ctrl-C loses nothing, a kill one part.

    Attributes:
        done: how many pictures are in parts, unreadable ones included; they are the first ones of the job.
        skipped: (path, reason) of those among them that could not be read.
    """

    def __init__(self, output: Path, job: Mapping[str, Any], dim: int, *, overwrite: bool) -> None:
        """Take up the folder of this job, or begin one.

        Args:
            output: the file that `merge` will write.
            job: what the rows depend on, as JSON values; parts of another job are not taken up.
            dim: D, length of an embedding.
            overwrite: whether parts of another job may be removed.

        Raises:
            OutputExistsError: parts of another job are there and ``overwrite`` is false.
        """
        self.output = output
        self.folder = Path(f"{output}.parts")
        self.schema = pa.schema([("path", pa.string()), ("embedding", pa.list_(pa.float32(), dim))])
        self.files: list[Path] = []
        self.skipped: list[tuple[str, str]] = []
        self.done = 0
        self._begin(job, overwrite)
        while found := list(self.folder.glob(f"{self.done:010d}-*.parquet")):
            self.files += found[:1]
            self.skipped += [tuple(row) for row in json.loads(pq.read_schema(found[0]).metadata[_SKIPPED_KEY])]
            self.done = int(found[0].stem.partition("-")[2])
        self._clear()

    def _begin(self, job: Mapping[str, Any], overwrite: bool) -> None:
        path = self.folder / _JOB_NAME
        if path.exists():
            was = json.loads(path.read_text(encoding="utf-8"))
            differing = [key for key in job if was.get(key) != job[key]]
            if not differing:
                return
            if not overwrite:
                told = ", ".join(f"{key} {was.get(key)} instead of {job[key]}" for key in differing)
                raise OutputExistsError(
                    f"{self.folder} holds the unfinished rows of another job: {told}. Finish that one, choose another "
                    "output, or pass --overwrite to begin anew."
                )
        if self.folder.exists():  # of another job, or of none, as when it was being removed
            self.remove()
        write_json(path, dict(job))

    def _clear(self) -> None:
        self._names: list[str] = []
        self._embeddings: list[Tensor] = []
        self._skipped: list[tuple[str, str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._write()

    def add(self, names: list[str], embeddings: Tensor, skipped: list[tuple[str, str]]) -> None:
        """Take the next pictures: paths and embeddings (n, D) of the readable ones, path and reason of the others."""
        self._names += names
        self._embeddings.append(embeddings)
        self._skipped += skipped
        if len(self._names) + len(self._skipped) >= _PART_ROWS:
            self._write()

    def _write(self) -> None:
        stop = self.done + len(self._names) + len(self._skipped)
        if stop == self.done:
            return
        path = self.folder / f"{self.done:010d}-{stop:010d}.parquet"
        values = pa.FixedSizeListArray.from_arrays(
            pa.array(torch.cat(self._embeddings).numpy().ravel()), type=self.schema.field("embedding").type
        )
        table = pa.Table.from_arrays([pa.array(self._names, pa.string()), values], schema=self.schema)
        with atomic_path(path) as temporary:
            pq.write_table(table.replace_schema_metadata({_SKIPPED_KEY: json.dumps(self._skipped)}), temporary)
        self.files.append(path)
        self.skipped += self._skipped
        self.done = stop
        self._clear()

    def merge(self, facts: Mapping[str, Any]) -> None:
        """Write the list of skipped pictures, then the output beside it, a row group a part; remove the parts."""
        report = Path(f"{self.output}.skipped.csv")
        report.unlink(missing_ok=True)
        if self.skipped:
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows([("path", "reason"), *self.skipped])
            write_text(report, text.getvalue())
        schema = self.schema.with_metadata({METADATA_KEY: json.dumps(facts)})
        with atomic_path(self.output) as temporary, pq.ParquetWriter(temporary, schema) as writer:
            for file in self.files:
                table = pq.read_table(file)
                if len(table):
                    writer.write_table(table.replace_schema_metadata(schema.metadata))
        self.remove()

    def remove(self) -> None:
        """Remove the parts."""
        shutil.rmtree(self.folder)
