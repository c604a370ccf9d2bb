"""Remembers which files have been verified, so that a model's second load neither hashes nor probes it again.

A mark is an empty file whose name is a hash of everything that the verification rested on: the weights file's place,
size, inode and times, what it was compared with, and the versions of the code that compared. Whatever changes any of
these leads to another name, and so to a new verification. Marks are lost or deleted without harm.
"""

import hashlib
import json
import os
import time
from pathlib import Path

import torch

import sslhsic_transfer

CACHE_VARIABLE = "SSLHSIC_CACHE"
# A file that changed so lately could change once more within the resolution of its times: git calls it racily clean.
_SETTLED_AFTER = 2.0  # seconds
_MOST_MARKS = 1000


def cache_folder() -> Path:
    """Where this library keeps what it can make anew: SSLHSIC_CACHE, or sslhsic-transfer in the user's cache folder."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sslhsic-transfer"


def mark_for(weights: Path, compared_with: str) -> Path:
    """The mark of one verification of one state of a file.

    Args:
        weights: the file.
        compared_with: what its content was, or is to be, compared with.
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
    """Whether that verification has been done."""
    return mark.is_file()


def remember(mark: Path, weights: Path) -> None:
    """Keep a mark, unless the file changed a moment ago or the cache cannot be written."""
    state = weights.stat()
    if time.time() - max(state.st_mtime, state.st_ctime) < _SETTLED_AFTER:
        return
    try:
        mark.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        mark.touch(mode=0o600)
        _forget_the_oldest(mark.parent)
    except OSError:
        return  # a full or read-only disk costs time at the next load, nothing else


def _forget_the_oldest(folder: Path) -> None:
    marks = list(folder.iterdir())
    if len(marks) > _MOST_MARKS:
        for old in sorted(marks, key=lambda path: path.stat().st_mtime)[: len(marks) - _MOST_MARKS // 2]:
            old.unlink(missing_ok=True)
