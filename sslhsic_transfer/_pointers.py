"""Git LFS pointers: small text files that a clone without LFS has in the place of large ones."""

from pathlib import Path

_START = b"version https://git-lfs"
ADVICE = "a Git LFS pointer in place of the file: run `git lfs pull` where it was cloned"


def is_pointer(content: bytes) -> bool:
    """Whether a file's content, or its start, is a pointer's."""
    return content.startswith(_START)


def described(path: Path, shown: int = 24) -> str:
    """What a file of an unexpected kind is: a pointer, empty, or what it begins with; for a message."""
    try:
        with path.open("rb") as file:
            start = file.read(max(shown, len(_START)))
    except OSError as error:
        return f"it cannot be opened: {error.strerror or error}"
    if is_pointer(start):
        return f"it is {ADVICE}"
    return f"it begins with {start[:shown]!r}" if start else "it is empty"
