"""The contract of an output format: rows to files, and files to rows again."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
from numpy.typing import NDArray
from safetensors import SafetensorError

from sslhsic_transfer.embed.rows import RowLayout

# What reading a damaged file raises.
READ_ERRORS = (
    *(OSError, EOFError, LookupError, TypeError, ValueError, AttributeError),
    *(pa.ArrowException, SafetensorError),
)
METADATA_KEY = "sslhsic_transfer"  # where a file holds the facts, as JSON


@dataclass(frozen=True)
class Rows:
    """All rows of a job, in order.

    Attributes:
        layout: their columns.
        count: their number.
        facts: the model, its weights, the preprocessing, …: JSON values.
        tables: function that reads the rows, table by table, as often as it is called; always in the same tables.
    """

    layout: RowLayout
    count: int
    facts: Mapping[str, Any]
    tables: Callable[[], Iterable[pa.Table]]


@dataclass(frozen=True)
class Content:
    """The content of a file.

    Attributes:
        facts: the facts.
        paths: N paths or keys.
        sizes: (N, 2) int32: width and height; None in files of earlier versions.
        labels: N labels; None: the rows have none.
        outputs: name -> (N, dim) values, perhaps mapped into memory.
    """

    facts: Mapping[str, Any]
    paths: list[str]
    sizes: NDArray[Any] | None
    labels: list[str] | None
    outputs: dict[str, NDArray[Any]]


class Format(ABC):
    """A kind of file, known by its suffix.

    Attributes:
        several: whether a file holds more than one output.
    """

    several: ClassVar[bool] = True

    @abstractmethod
    def write(self, path: Path, rows: Rows) -> None:
        """Write a file, which appears at ``path`` only once it is complete. Memory does not grow with the rows."""

    @abstractmethod
    def read(self, path: Path) -> Content:
        """Read a file.

        Raises:
            Exception: one of `READ_ERRORS`: it is not a file of this format, or damaged.
        """

    def beside(self, path: Path) -> list[Path]:
        """List the further files that `write` makes beside ``path``."""
        return []
