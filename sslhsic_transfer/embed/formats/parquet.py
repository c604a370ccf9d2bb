"""Apache Parquet: one file, one row per picture, the facts in its metadata."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from sslhsic_transfer._files import atomic_path
from sslhsic_transfer._json import parse_json
from sslhsic_transfer.embed.formats.format import METADATA_KEY, Content, Format, Rows
from sslhsic_transfer.embed.rows import RowLayout, column_of


class Parquet(Format):
    """One Parquet file, with a row group for each table of rows."""

    def write(self, path: Path, rows: Rows) -> None:
        """Write the file."""
        schema = rows.layout.schema.with_metadata({METADATA_KEY: json.dumps(rows.facts)})
        with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
            for table in rows.tables():
                # Copied to contiguous memory, because the layout in pages depends on how a column is split.
                writer.write_table(table.combine_chunks().replace_schema_metadata(schema.metadata))

    def read(self, path: Path) -> Content:
        """Read the file, group by group."""
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            facts = parse_json((schema.metadata or {})[METADATA_KEY.encode()])
            layout = RowLayout.of(schema)
            count = file.metadata.num_rows
            outputs = {name: np.empty((count, dim), layout.dtype) for name, dim in layout.outputs.items()}
            sized = "width" in schema.names
            sizes = np.empty((count, 2), np.int32)
            paths: list[str] = []
            labels: list[str] = []
            for group in file.iter_batches():
                place = slice(len(paths), len(paths) + len(group))
                for name, values in outputs.items():
                    values[place].reshape(-1)[:] = group[column_of(name)].flatten().to_numpy(zero_copy_only=False)
                if sized:
                    sizes[place, 0], sizes[place, 1] = group["width"].to_numpy(), group["height"].to_numpy()
                if layout.labeled:
                    labels += group["label"].to_pylist()
                paths += group["path"].to_pylist()
        return Content(facts, paths, sizes if sized else None, labels if layout.labeled else None, outputs)
