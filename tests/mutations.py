"""Files as a bad disk or an editor leaves them."""

import json
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
