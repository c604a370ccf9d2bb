"""Python examples in a Markdown text, and the pictures that they use."""

import re
import shutil
from pathlib import Path

from sslhsic_transfer.sample import sign_digits

_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_PICTURES = ("cat.jpg", "dog.jpg")


def python_examples(text: str) -> list[str]:
    """Return the Python blocks of a Markdown text, in order."""
    return _BLOCK.findall(text)


def lay_pictures(folder: Path) -> None:
    """Copy two bundled pictures into a folder, under the names that examples use."""
    for name, picture in zip(_PICTURES, sorted(sign_digits().test.rglob("*.jpg")), strict=False):
        shutil.copy(picture, folder / name)
