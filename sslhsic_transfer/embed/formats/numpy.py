"""NumPy's .npy with one output, which `numpy.load(…, mmap_mode="r")` maps; beside it the other columns and facts."""

import csv
from pathlib import Path

import numpy as np

from sslhsic_transfer._files import atomic_path, write_json
from sslhsic_transfer._json import read_json
from sslhsic_transfer.embed.formats.format import Content, Format, Rows


class NumPy(Format):
    """NAME.npy (N, D); NAME.csv with path, width, height and perhaps label of each row; NAME.json with the facts."""

    several = False

    def write(self, path: Path, rows: Rows) -> None:
        """Write the three files, the array last."""
        ((output, dim),) = rows.layout.outputs.items()
        table_path, facts_path = self.beside(path)
        header = [name for name in rows.layout.schema.names if name in ("path", "width", "height", "label")]
        with (
            atomic_path(path) as temporary,
            atomic_path(table_path) as listed,
            listed.open("w", encoding="utf-8", newline="") as text,
            temporary.open("wb") as file,
        ):
            np.lib.format.write_array_header_2_0(
                file, {"shape": (rows.count, dim), "fortran_order": False, "descr": np.dtype(rows.layout.dtype).str}
            )
            writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)  # names may hold line ends
            writer.writerow(header)
            for table in rows.tables():
                writer.writerows(zip(*(table[name].to_pylist() for name in header), strict=True))
                file.write(np.ascontiguousarray(rows.layout.values(table, output)).tobytes())
            write_json(facts_path, {**rows.facts, "output": output})

    def read(self, path: Path) -> Content:
        """Read the table, and map the array into memory."""
        table_path, facts_path = self.beside(path)
        values = np.load(path, mmap_mode="r", allow_pickle=False)
        facts = read_json(facts_path)
        with table_path.open(encoding="utf-8", newline="") as text:
            rows = list(csv.DictReader(text))
        if values.ndim != 2 or len(rows) != len(values):
            raise ValueError(f"{table_path.name} has {len(rows)} rows, the array the shape {values.shape}")
        sizes = np.array([(int(row["width"]), int(row["height"])) for row in rows], np.int32).reshape(-1, 2)
        labels = [row["label"] for row in rows] if rows and "label" in rows[0] else None
        return Content(facts, [row["path"] for row in rows], sizes, labels, {facts["output"]: values})

    def beside(self, path: Path) -> list[Path]:
        """List the table and the facts."""
        return [path.with_suffix(".csv"), path.with_suffix(".json")]
