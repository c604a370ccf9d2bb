"""The rows of an embedding job: which columns they have, and tables of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sslhsic_transfer._precision import StoredType

_TYPES = {"float32": pa.float32(), "float16": pa.float16()}
_EMBEDDING = "embedding"  # column of the pooled embedding; other outputs have columns of their own names


@dataclass(frozen=True)
class RowLayout:
    """The columns of the rows: ``path``, ``width``, ``height``, ``label`` where the source has labels, and the outputs.

    Attributes:
        outputs: name of each output -> number of its values for a picture.
        dtype: type of these values.
        labeled: whether rows have a label.
    """

    outputs: Mapping[str, int]
    dtype: StoredType = "float32"
    labeled: bool = False

    @property
    def schema(self) -> pa.Schema:
        """The columns as Arrow has them."""
        columns = [("path", pa.string()), ("width", pa.int32()), ("height", pa.int32())]
        if self.labeled:
            columns.append(("label", pa.string()))
        return pa.schema(
            [*columns, *((column_of(name), pa.list_(_TYPES[self.dtype], dim)) for name, dim in self.outputs.items())]
        )

    def table(
        self,
        paths: Sequence[str],
        sizes: Sequence[tuple[int, int]],
        labels: Sequence[str],
        outputs: Mapping[str, NDArray[Any]],
    ) -> pa.Table:
        """Make a table of N rows.

        Args:
            paths: N paths or keys.
            sizes: width and height of the N pictures.
            labels: N labels; not used if rows have none.
            outputs: (N, dim) values of each output.
        """
        widths, heights = (np.array([size[place] for size in sizes], np.int32) for place in (0, 1))
        columns = [pa.array(paths, pa.string()), pa.array(widths), pa.array(heights)]
        if self.labeled:
            columns.append(pa.array(labels, pa.string()))
        for name, dim in self.outputs.items():
            values = np.ascontiguousarray(outputs[name], self.dtype).reshape(-1)
            columns.append(pa.FixedSizeListArray.from_arrays(pa.array(values), dim))
        return pa.Table.from_arrays(columns, schema=self.schema)

    def values(self, table: pa.Table, output: str) -> NDArray[Any]:
        """Return one output of a table's rows: (N, dim)."""
        flat = table[column_of(output)].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        values: NDArray[Any] = flat.reshape(-1, self.outputs[output])
        return values

    @classmethod
    def of(cls, schema: pa.Schema) -> "RowLayout":
        """Tell the layout of a table with such columns.

        Raises:
            KeyError, ValueError: they are not the columns of a job.
        """
        lists = [field for field in schema if pa.types.is_fixed_size_list(field.type)]
        names = {_EMBEDDING: "pooled"}
        kinds = {str(field.type.value_type) for field in lists}
        dtypes = {str(kind): name for name, kind in _TYPES.items()}
        if len(kinds) != 1 or "path" not in schema.names:
            raise ValueError(f"its columns are {', '.join(schema.names)}")
        outputs = {names.get(field.name, field.name): field.type.list_size for field in lists}
        return cls(outputs, dtypes[kinds.pop()], "label" in schema.names)  # type: ignore[arg-type]


def column_of(output: str) -> str:
    """Name the column of an output."""
    return _EMBEDDING if output == "pooled" else output
