"""Record of pictures that cannot be read; only too many of them are an error."""

import warnings
from collections.abc import Iterable
from pathlib import Path

from sslhsic_transfer._files import append_json_lines, read_json_lines
from sslhsic_transfer.errors import DataError


class DamageRecord:
    """Record of the pictures that could not be read, in a file with one JSON line for each.

    Args:
        path: the file, which processes share. Its present entries count, so that a resumed run continues the count.
        pictures: number of all pictures.
        most: largest share of pictures that may be unreadable.
    """

    def __init__(self, path: Path, pictures: int, most: float) -> None:
        self.path = path
        self.pictures = pictures
        self.most = most
        self.reasons: dict[str, str] = {}
        self._read()

    def _read(self) -> None:
        """Read the entries that other processes or an earlier start have written."""
        entries = [(entry.get("picture"), entry.get("reason")) for entry in read_json_lines(self.path)]
        self.reasons |= {name: reason for name, reason in entries if isinstance(name, str) and isinstance(reason, str)}

    def note(self, entries: Iterable[tuple[str, str]]) -> None:
        """Add unreadable pictures and the reasons.

        Raises:
            DataError: too many pictures cannot be read.
        """
        found = {picture: reason for picture, reason in entries if picture not in self.reasons}
        if not found:
            return
        self._read()
        fresh = {picture: reason for picture, reason in found.items() if picture not in self.reasons}
        if fresh and not self.reasons:
            picture, reason = next(iter(fresh.items()))
            warnings.warn(
                f"{picture} cannot be read and is replaced by another picture ({reason}). This and all further ones "
                f"are listed in {self.path}.",
                stacklevel=2,
            )
        self.reasons |= fresh
        append_json_lines(self.path, [{"picture": picture, "reason": reason} for picture, reason in fresh.items()])
        if len(self.reasons) > self.most * self.pictures:
            raise DataError(
                f"{len(self.reasons)} of {self.pictures} pictures cannot be read, more than max_damaged={self.most} "
                f"allows; they are listed in {self.path}. Mend them or raise max_damaged, and resume."
            )
