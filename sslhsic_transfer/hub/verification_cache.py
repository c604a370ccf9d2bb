"""A record of verified weights files, so that later loads neither hash nor probe them again.

A mark is an empty file. Its name is a hash of everything that the verification depends on: the weights file's path,
size, inode and times, the values it was compared with, and the versions of the code. A change in any of these gives
another name, and so a new verification. Losing or deleting marks does no harm.
"""

import hashlib
import json
import os
import time
from pathlib import Path

import torch

import sslhsic_transfer

CACHE_VARIABLE = "SSLHSIC_CACHE"
# A file changed this recently may change again within the resolution of its times; git calls this racily clean.
_SETTLED_AFTER = 2.0  # seconds
_MOST_MARKS = 1000


def cache_folder() -> Path:
    """Return this library's cache folder: SSLHSIC_CACHE, or sslhsic-transfer in the user's cache folder."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sslhsic-transfer"


def mark_for(weights: Path, compared_with: str) -> Path:
    """Return the path of the mark for one verification of one state of a file.

    Args:
        weights: the file.
        compared_with: the values that its content is compared with.
    """
    real = weights.resolve()
    state = real.stat()
    facts = [
        *(str(real), state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns),
        *(compared_with, sslhsic_transfer.__version__, torch.__version__),
    ]
    name = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    return cache_folder() / "verified" / name


def is_verified(mark: Path) -> bool:
    """Tell whether this verification has been done."""
    return mark.is_file()


def remember(mark: Path, weights: Path) -> None:
    """Store a mark, unless the file changed a moment ago or the cache is not writable."""
    state = weights.stat()
    if time.time() - max(state.st_mtime, state.st_ctime) < _SETTLED_AFTER:
        return
    try:
        mark.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        mark.touch(mode=0o600)
        marks = list(mark.parent.iterdir())
        if len(marks) > _MOST_MARKS:  # forget the oldest half
            for old in sorted(marks, key=lambda path: path.stat().st_mtime)[: len(marks) - _MOST_MARKS // 2]:
                old.unlink(missing_ok=True)
    except OSError:
        return  # without a mark the next load is slower, nothing else
