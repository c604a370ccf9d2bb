"""Protocol Buffers' wire format, as far as it takes to look into an ONNX file without any package for it.

Nothing is copied or decoded but what is asked for, so that a file of hundreds of megabytes is read in an instant; and
nothing in it is believed: a length that leads beyond the end is an error.
"""

from collections.abc import Iterator

from sslhsic_transfer.errors import ModelFileError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10  # bytes


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field of a message: integers as they are, everything else as bytes.

    Raises:
        ModelFileError: the message breaks off, or is none.
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
    """A repeated integer field, packed or not."""
    if isinstance(value, int):
        return [_signed(value)]
    found, position = [], 0
    while position < len(value):
        number, position = _varint(value, position)
        found.append(_signed(number))
    return found


def text(value: int | memoryview) -> str:
    """A string field.

    Raises:
        ModelFileError: it is none.
    """
    try:
        return str(content(value), "utf-8")
    except UnicodeDecodeError as error:
        raise ModelFileError(f"it is no ONNX file: a name is not UTF-8 ({error})") from error


def content(value: int | memoryview) -> memoryview:
    """A field that holds bytes: a message, a string, raw data.

    Raises:
        ModelFileError: it holds a number.
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
