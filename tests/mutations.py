"""Files as a bad disk or an editor leaves them."""

import json
from random import Random
from typing import Any

from hypothesis import strategies as st

WHOLE = (b"", b"null", b"3", b"[]", b"{}", b'"text"', b"\xff\xfe", b"<html></html>", b"[" * 100_000, b"\0" * 64)


def mutated(content: bytes, data: st.DataObject) -> bytes:
    """Draw one change: bytes flipped, the file cut short, or something else in its place."""
    kind = data.draw(st.sampled_from(("flip", "cut", "whole")))
    if kind == "whole":
        return data.draw(st.sampled_from(WHOLE))
    if kind == "cut":
        return content[: data.draw(st.integers(0, len(content) - 1))]
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    return bytes(changed)


def with_another_value(document: Any, data: st.DataObject) -> str:
    """Draw one value of a JSON document, at any depth, and put another one into its place."""
    places: list[tuple[Any, Any]] = []

    def collect(node: Any) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], dict | list):
                collect(node[key])

    document = json.loads(json.dumps(document))
    collect(document)
    node, key = data.draw(st.sampled_from(places))
    node[key] = data.draw(st.sampled_from((None, True, -1, 10**30, 0.5, float("nan"), "", "x", [], {}, [[]], {"a": 1})))
    return json.dumps(document)


# Numbers at which sizes and offsets go wrong.
_ODD = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def damaged(content: bytes, random: Random) -> bytes:
    """Draw some changes of a file: near its beginning, where sizes stand, as often as anywhere else.

    Args:
        content: the whole file.
        random: decides; the same one gives the same.
    """
    if random.random() < 0.02:
        return random.choice(WHOLE)
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        if not changed:
            break
        end = len(changed) if random.random() < 0.5 else min(len(changed), 200)
        place = random.randrange(end)
        length = random.choice((1, 1, 2, 4, 8, 64))
        match random.randrange(8):
            case 0 | 1:
                changed[place] ^= 1 << random.randrange(8)
            case 2:
                changed[place : place + length] = random.randbytes(length)
            case 3 | 4:
                width = random.choice((1, 2, 4, 8))
                number = random.choice(_ODD) & (1 << 8 * width) - 1
                changed[place : place + width] = number.to_bytes(width, random.choice(("little", "big")))
            case 5:
                del changed[place : place + length]
            case 6:
                changed[place:place] = changed[place : place + length]
            case _:
                if random.random() < 0.3:
                    del changed[place:]
                else:
                    changed[place : place + length] = bytes((random.choice((0, 255)),)) * length
    return bytes(changed)
