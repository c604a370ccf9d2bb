"""Reading of safetensors files without memory mapping, with every declared size checked against the file.

Truncating a mapped file kills the process with a signal. Here each tensor's bytes are copied into its own memory,
which costs no more than a mapped file when it is first read. A file that changes meanwhile raises an error.
"""

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import torch

from sslhsic_transfer._content import shown_start, what_it_is_instead
from sslhsic_transfer._json import parse_json
from sslhsic_transfer.errors import ModelNotFoundError, WeightsError

LARGEST_HEADER = 1 << 20  # bytes; a ResNet-152 has about 100 KB
_LARGEST_FOREIGN_HEADER = 1 << 24
_METADATA = "__metadata__"
_MOST_DIMENSIONS = 32
_DTYPES: dict[str, torch.dtype] = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3": torch.float8_e4m3fn,
    "U16": torch.uint16,
    "I16": torch.int16,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "U32": torch.uint32,
    "I32": torch.int32,
    "F32": torch.float32,
    "C64": torch.complex64,
    "U64": torch.uint64,
    "I64": torch.int64,
    "F64": torch.float64,
}


@dataclass(frozen=True)
class SafetensorsContent:
    """Content of a safetensors file.

    Attributes:
        tensors: name -> tensor on the CPU, each in its own memory.
        metadata: name -> text.
        sha256: hash of the bytes that were read; None if not requested.
    """

    tensors: dict[str, torch.Tensor]
    metadata: dict[str, str]
    sha256: str | None = None


def read_safetensors_file(
    path: Path, *, hashed: bool = False, largest_header: int = _LARGEST_FOREIGN_HEADER
) -> SafetensorsContent:
    """Read a whole safetensors file.

    Args:
        path: the file.
        hashed: whether to hash the bytes.
        largest_header: largest size of the header, which names the tensors, in bytes.

    Raises:
        ModelNotFoundError: there is no such file.
        WeightsError: the file is truncated, does not have the bytes that its header declares, changes while it is read,
            or is not a safetensors file.
    """
    check_there(path)
    try:
        with path.open("rb") as file:
            header, rest = _header(file, largest_header)
            entries, metadata = _entries(header[8:], rest)
            digest = hashlib.sha256(header) if hashed else None
            tensors = _tensors(file, entries, digest.update if digest else None)
            return SafetensorsContent(tensors, metadata, digest.hexdigest() if digest else None)
    except (OSError, ValueError, RuntimeError, MemoryError) as error:
        raise not_whole(path, str(error) or type(error).__name__) from error


def check_there(path: Path) -> None:
    """Refuse a weights file that is missing.

    Raises:
        ModelNotFoundError: the file does not exist.
    """
    if not path.is_file():
        raise ModelNotFoundError(f"No {path.name} in {path.parent}. Fetch or save the folder again.")


def not_whole(path: Path, reason: str) -> WeightsError:
    """Return the error for a file that cannot be read as safetensors."""
    size = f" ({path.stat().st_size} bytes)" if path.is_file() else ""
    return WeightsError(f"{path}{size} is not a whole safetensors file: {reason}. Fetch or save it again.")


def _header(file: IO[bytes], largest: int) -> tuple[bytes, int]:
    """Return the header with its length before it, and the number of bytes that follow."""
    size = file.seek(0, 2)
    file.seek(0)
    start = file.read(8)
    header_size = int.from_bytes(start, "little")
    if len(start) < 8 or not 2 <= header_size <= min(largest, size - 8):
        begins = start + file.read(504)
        if found := what_it_is_instead(begins):
            raise ValueError(found)
        raise ValueError(f"its header would have {header_size} bytes; it begins with {shown_start(begins)}")
    return start + file.read(header_size), size - 8 - header_size


def _entries(header: bytes, there: int) -> tuple[list[tuple[str, torch.dtype, list[int]]], dict[str, str]]:
    """Return names, dtypes and shapes in byte order, and the metadata. The tensors must fill the file without gaps."""
    found = parse_json(header, deepest=4)
    if not isinstance(found, dict):
        raise ValueError(f"its header is a {type(found).__name__}; expected an object of tensors")
    metadata = found.pop(_METADATA, None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata are not texts")
    placed = []
    for name, entry in found.items():
        shown = repr(name[:80])
        if not isinstance(entry, Mapping) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise ValueError(f"the tensor {shown} is not described by dtype, shape and data_offsets")
        code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(code, str) or code not in _DTYPES:
            expected = ", ".join(_DTYPES)
            raise ValueError(f"the tensor {shown} is of dtype {str(code)[:40]!r}; expected one of: {expected}")
        counts = [*shape, *offsets] if isinstance(shape, list) and isinstance(offsets, list) else [None]
        whole = all(type(count) is int and 0 <= count < 1 << 62 for count in counts)
        if not whole or len(shape) > _MOST_DIMENSIONS or len(offsets) != 2:
            raise ValueError(f"the tensor {shown} has a shape or data_offsets that are not whole numbers from 0 on")
        begin, end = offsets
        if end - begin != (size := math.prod(shape) * _DTYPES[code].itemsize):
            raise ValueError(f"the tensor {shown}, {code} of shape {shape}, has {end - begin} bytes instead of {size}")
        placed.append((name, _DTYPES[code], shape, begin, end))
    placed.sort(key=lambda tensor: tensor[3:])
    end = 0
    for name, _, _, begin, stop in placed:
        if begin != end:
            raise ValueError(f"the bytes of {name!r} begin at {begin}, where {end} was expected")
        end = stop
    if end != there:
        raise ValueError(f"its header declares {end} bytes of tensors; {there} are there")
    return [(name, dtype, shape) for name, dtype, shape, _, _ in placed], metadata


def _tensors(
    file: IO[bytes], entries: list[tuple[str, torch.dtype, list[int]]], seen: Callable[[memoryview], None] | None
) -> dict[str, torch.Tensor]:
    """Read the tensors' bytes, each into its own memory, and show them to ``seen`` in the file's order."""
    tensors = {}
    for name, dtype, shape in entries:
        tensor = tensors[name] = torch.empty(shape, dtype=dtype, device="cpu")
        if not tensor.numel():
            continue
        place = tensor.reshape(-1).view(torch.uint8).numpy().data
        if file.readinto(place) != len(place):  # type: ignore[attr-defined]
            raise ValueError(f"it was cut off while it was read, before the end of {name!r}")
        if seen:
            seen(place)
    if file.read(1):
        raise ValueError("it grew while it was read")
    return tensors
