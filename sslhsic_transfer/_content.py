"""Detection of content that replaces an expected file: a Git LFS pointer, a web page, nothing."""

from pathlib import Path

_LOOKED_AT = 512  # bytes
_LFS = (b"version https://git-lfs.github.com/spec/", b"version https://hawser.github.com/spec/")
_PAGES = (b"<!doctype", b"<html", b"<head", b"<body", b"<?xml", b"<script", b"<!--", b"<error")
_SHOWN = 40  # bytes
_LONGEST = 300  # characters


def what_it_is_instead(content: bytes | memoryview) -> str | None:
    """Tell from a file's first bytes whether it holds something else than expected.

    Args:
        content: the file, or its beginning.

    Returns:
        A clause that says what it is and how to get the file: "it is empty: …"; None if nothing suspicious is found.
    """
    start = bytes(content[:_LOOKED_AT])
    if not start:
        return "it is empty: fetch or save it again"
    if start.startswith(_LFS):
        return "it is a Git LFS pointer, not the file itself: run `git lfs pull` in the folder that was cloned"
    begins = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if begins.lower().startswith(_PAGES):
        return f"it begins with {shown_start(begins)}: it is a web page; download the file itself"
    return None


def what_file_is_instead(path: Path) -> str | None:
    """Tell the same for a file; return None if it cannot be read."""
    try:
        with path.open("rb") as file:
            return what_it_is_instead(file.read(_LOOKED_AT))
    except (OSError, ValueError):  # a name that no file can have
        return None


def shown_start(content: bytes) -> str:
    """Format a file's first bytes for a message: as text if they are text, else in hexadecimal."""
    line = next(iter(content[:_SHOWN].splitlines()), b"")
    if line and all(32 <= byte < 127 or byte == 9 for byte in line):
        return repr(line.decode("ascii"))
    return f"the bytes {content[:8].hex(' ')}"


def in_short(error: Exception) -> str:
    """Return another library's error on one line, shortened, because some contain the file's whole content."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
