"""The folder of a run: ``recipe.yaml``, ``metrics.jsonl``, ``damaged.jsonl`` if pictures could not be read,
``checkpoints/`` and, at the end, ``model/``.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sslhsic_transfer._config import as_yaml, differences, read_yaml, validate
from sslhsic_transfer._files import append_json_lines, read_json_lines, write_json, write_json_lines, write_text
from sslhsic_transfer._json import read_json
from sslhsic_transfer._locks import writing
from sslhsic_transfer._processes import is_main_process
from sslhsic_transfer.errors import CheckpointError, DataError, ImageError, OutputExistsError
from sslhsic_transfer.training.checkpoint import list_checkpoints, newest_intact

PICTURES_KEY = "pictures_sha256"  # key of a recipe's hash of its pictures
# Settings that do not affect results, and may change when a run is resumed.
_FREE = {"workers", "max_damaged", "checkpoint_every", "checkpoints_kept", "trackers"}


class RunFolder:
    """The paths and the log of a run.

    Args:
        root: the folder.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.recipe = self.root / "recipe.yaml"
        self.metrics = self.root / "metrics.jsonl"
        self.damaged = self.root / "damaged.jsonl"
        self.unreadable = self.root / "unreadable.json"
        self.checkpoints = self.root / "checkpoints"
        self.model = self.root / "model"
        self._lock = self.root / ".lock"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder for this run; a launcher's first process locks it for all.

        Raises:
            OutputBusyError: another run is using it.
        """
        if not is_main_process():
            yield
            return
        with writing(self.root, self._lock):
            yield

    def begin(self, recipe: BaseModel, *, resume: bool, names_sha256: str | None = None) -> Path | None:
        """Start or resume a run.

        Args:
            recipe: the recipe of this start.
            resume: whether to continue from the latest checkpoint.
            names_sha256: hash of the pictures without their sizes, so that a run which `note_unreadable` has marked
                continues on mended files.

        Returns:
            The latest intact checkpoint, to continue from; None to start at the beginning.

        Raises:
            OutputExistsError: there already is a run, and ``resume`` is false.
            CheckpointError: the existing run has another recipe, or none of its checkpoints can be read.
        """
        if self._holds_a_run():
            if not resume:
                raise OutputExistsError(
                    f"{self.root} already holds a run; go on with it by --resume, or choose another --output."
                )
            if not self.recipe.exists():
                raise CheckpointError(
                    f"{self.root} holds checkpoints, but no {self.recipe.name} that tells what they are of. "
                    "Put it back, or choose another --output."
                )
            self._refuse_other_recipe(recipe, names_sha256)
        write_text(self.recipe, as_yaml(recipe))
        return newest_intact(self.checkpoints)

    def _holds_a_run(self) -> bool:
        """Check if there is more than the recipe of a failed start."""
        if list_checkpoints(self.checkpoints):
            return True
        return self.recipe.exists() and any(entry not in (self.recipe, self._lock) for entry in self.root.iterdir())

    def note_unreadable(self, names_sha256: str) -> None:
        """Note that a run with something to resume stopped at a file that cannot be read, and that may now be mended.

        Args:
            names_sha256: hash of the pictures without their sizes, which the mended ones must have, too.
        """
        if self._holds_a_run():
            write_json(self.unreadable, {"names_sha256": names_sha256})

    @contextmanager
    def noting_unreadable(self, names_sha256: Callable[[], str]) -> Iterator[None]:
        """Note it if the block ends at files that cannot be read, so that the run can be resumed once they are mended.

        Args:
            names_sha256: called in that case; see `note_unreadable`.
        """
        try:
            yield
        except (DataError, ImageError):
            if is_main_process():
                self.note_unreadable(names_sha256())
            raise

    def may_be_mended(self, names_sha256: str | None) -> bool:
        """Check if a run stopped at an unreadable file, and its pictures have the same names as then."""
        try:
            noted = read_json(self.unreadable)
        except (OSError, ValueError):
            return False
        return isinstance(noted, dict) and names_sha256 is not None and noted.get("names_sha256") == names_sha256

    def log(self, record: dict[str, Any]) -> None:
        """Add a line to metrics.jsonl."""
        append_json_lines(self.metrics, [record])

    def forget_after(self, step: int) -> None:
        """Remove lines of metrics.jsonl after a step, which a resumed run will write again."""
        write_json_lines(self.metrics, [record for record in self.read_metrics() if record["step"] <= step])

    def read_metrics(self) -> list[dict[str, Any]]:
        """Read the lines of metrics.jsonl, without those that a crash has cut short or that have no step."""
        return [record for record in read_json_lines(self.metrics) if type(record.get("step")) is int]

    def _refuse_other_recipe(self, recipe: BaseModel, names_sha256: str | None) -> None:
        old = validate(type(recipe), read_yaml(self.recipe), source=str(self.recipe))
        if changes := differences(old, recipe, free=_FREE | {PICTURES_KEY}):
            raise CheckpointError(
                f"{self.root} was begun with another recipe ({'; '.join(changes)}). "
                f"Go on with the settings of {self.recipe}, or choose another --output."
            )
        was = getattr(old, PICTURES_KEY, None)  # recipes of earlier versions lack it
        if was not in (None, getattr(recipe, PICTURES_KEY, None)) and not self.may_be_mended(names_sha256):
            raise CheckpointError(
                f"{self.root} was begun on other pictures than are there now: of other names, sizes or labels. Resume "
                "with the same data, or choose another --output."
            )
