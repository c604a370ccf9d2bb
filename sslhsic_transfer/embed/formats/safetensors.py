"""safetensors: every output as a tensor, which readers map into memory; texts as bytes with the ends of each."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from sslhsic_transfer._files import atomic_path
from sslhsic_transfer._json import parse_json
from sslhsic_transfer.embed.formats.format import METADATA_KEY, Content, Format, Rows

_TYPES = {"float32": "F32", "float16": "F16", "int32": "I32", "int64": "I64", "uint8": "U8"}
_SIZES = "sizes"
_ORDER = "outputs"  # in the metadata: the names of the outputs in their order


class Safetensors(Format):
    """One file with a tensor (N, dim) per output, ``sizes`` (N, 2), and the UTF-8 texts of paths and labels.

    A text's bytes are those of ``paths`` from ``paths.ends[n - 1]`` (0 for the first) to ``paths.ends[n]``.
    """

    def write(self, path: Path, rows: Rows) -> None:
        """Write the header, whose sizes are all known from the texts, and then tensor after tensor."""
        layout = rows.layout
        texts = ["path", "label"] if layout.labeled else ["path"]
        lengths = dict.fromkeys(texts, 0)
        for table in rows.tables():
            for name in texts:
                lengths[name] += sum(len(text.encode()) for text in table[name].to_pylist())
        shapes: dict[str, tuple[str, tuple[int, ...]]] = {
            name: (layout.dtype, (rows.count, dim)) for name, dim in layout.outputs.items()
        }
        for name in texts:  # eight-byte numbers first, for their alignment
            shapes = {f"{name}s.ends": ("int64", (rows.count,)), **shapes}
        shapes[_SIZES] = ("int32", (rows.count, 2))
        shapes |= {f"{name}s": ("uint8", (lengths[name],)) for name in texts}
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            _write_header(file, shapes, {METADATA_KEY: json.dumps(rows.facts), _ORDER: json.dumps([*layout.outputs])})
            for name in shapes:
                for part in _parts(rows, name):
                    file.write(part.tobytes())

    def read(self, path: Path) -> Content:
        """Map the file into memory."""
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            facts, outputs = parse_json(metadata[METADATA_KEY]), parse_json(metadata[_ORDER])
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        paths, labels = _texts(found, "paths"), _texts(found, "labels") if "labels" in found else None
        sizes = found.pop(_SIZES)
        if any(len(values) != len(paths) for values in (sizes, *found.values())) or sorted(found) != sorted(outputs):
            raise ValueError("its tensors differ in length, or are others than its metadata say")
        return Content(facts, paths, sizes, labels, {name: found[name] for name in outputs})


def _write_header(file: BinaryIO, shapes: dict[str, tuple[str, tuple[int, ...]]], metadata: dict[str, str]) -> None:
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name, (kind, shape) in shapes.items():
        start, end = end, end + int(np.prod(shape, dtype=np.int64)) * np.dtype(kind).itemsize
        header[name] = {"dtype": _TYPES[kind], "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    file.write(struct.pack("<Q", len(text)) + text)


def _parts(rows: Rows, name: str) -> Iterator[NDArray[Any]]:
    """Yield a tensor table by table."""
    end = 0
    for table in rows.tables():
        if name in rows.layout.outputs:
            yield np.ascontiguousarray(rows.layout.values(table, name))
        elif name == _SIZES:
            yield np.stack([table["width"].to_numpy(), table["height"].to_numpy()], axis=1).astype(np.int32)
        else:
            texts = [text.encode() for text in table[name.split(".")[0].removesuffix("s")].to_pylist()]
            if name.endswith(".ends"):
                ends = end + np.cumsum([len(text) for text in texts], dtype=np.int64)
                end = int(ends[-1])
                yield ends
            else:
                yield np.frombuffer(b"".join(texts), np.uint8)


def _texts(found: dict[str, NDArray[Any]], name: str) -> list[str]:
    content, ends = found.pop(name).tobytes(), found.pop(f"{name}.ends")
    if len(ends) and (ends[-1] != len(content) or (np.diff(ends, prepend=0) < 0).any()):
        raise ValueError(f"the ends of {name} do not fit them")
    return [content[start:end].decode() for start, end in zip([0, *ends.tolist()], ends.tolist(), strict=False)]
