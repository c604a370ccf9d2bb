"""Minimal reader of Protocol Buffers' wire format, to inspect ONNX files without further packages.

Only requested fields are decoded and nothing is copied, so that a file of hundreds of megabytes is read quickly. All
lengths are checked: one that leads beyond the end is an error.
"""

from collections.abc import Iterator

from sslhsic_transfer.errors import ModelFileError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10  # bytes


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of each field of a message: integers decoded, everything else as bytes.

    Raises:
        ModelFileError: the message is truncated or not valid.
    """
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, position = _varint(message, position)
            yield number, value
            continue
        if kind == _BYTES:
            length, position = _varint(message, position)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise ModelFileError(f"it is no ONNX file: a field of the unknown kind {kind}")
        if number == 0 or length > len(message) - position:
            raise ModelFileError("it is cut off, or no ONNX file: a field reaches beyond the end")
        yield number, message[position : position + length]
        position += length


def integers(value: int | memoryview) -> list[int]:
    """Decode a repeated integer field, packed or not."""
    if isinstance(value, int):
        return [_signed(value)]
    found, position = [], 0
    while position < len(value):
        number, position = _varint(value, position)
        found.append(_signed(number))
    return found


def text(value: int | memoryview) -> str:
    """Decode a string field.

    Raises:
        ModelFileError: it is not a valid string.
    """
    try:
        return str(content(value), "utf-8")
    except UnicodeDecodeError as error:
        raise ModelFileError(f"it is no ONNX file: a name is not UTF-8 ({error})") from error


def content(value: int | memoryview) -> memoryview:
    """Return the content of a field that holds bytes: a message, a string or raw data.

    Raises:
        ModelFileError: the field holds a number.
    """
    if isinstance(value, int):
        raise ModelFileError("it is no ONNX file: a number stands where a message should")
    return value


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for count in range(_LONGEST_VARINT):
        if position + count >= len(message):
            break
        byte = message[position + count]
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            return value, position + count + 1
    raise ModelFileError("it is cut off, or no ONNX file: a number breaks off")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
