"""The folder of a run: ``recipe.yaml``, ``metrics.jsonl``, ``damaged.jsonl`` if pictures could not be read,
``checkpoints/`` and, at the end, ``model/``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sslhsic_transfer._config import as_yaml, differences, read_yaml, validate
from sslhsic_transfer._files import append_json_lines, read_json_lines, write_json_lines, write_text
from sslhsic_transfer._locks import writing
from sslhsic_transfer._processes import is_main_process
from sslhsic_transfer.errors import CheckpointError, OutputExistsError
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

    def begin(self, recipe: BaseModel, *, resume: bool) -> Path | None:
        """Start or resume a run.

        Args:
            recipe: the recipe of this start.
            resume: whether to continue from the latest checkpoint.

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
            self._refuse_other_recipe(recipe)
        write_text(self.recipe, as_yaml(recipe))
        return newest_intact(self.checkpoints)

    def _holds_a_run(self) -> bool:
        """Check if there is more than the recipe of a failed start."""
        if list_checkpoints(self.checkpoints):
            return True
        return self.recipe.exists() and any(entry not in (self.recipe, self._lock) for entry in self.root.iterdir())

    def log(self, record: dict[str, Any]) -> None:
        """Add a line to metrics.jsonl."""
        append_json_lines(self.metrics, [record])

    def forget_after(self, step: int) -> None:
        """Remove lines of metrics.jsonl after a step, which a resumed run will write again."""
        write_json_lines(self.metrics, [record for record in self.read_metrics() if record["step"] <= step])

    def read_metrics(self) -> list[dict[str, Any]]:
        """Read the lines of metrics.jsonl, without those that a crash has cut short or that have no step."""
        return [record for record in read_json_lines(self.metrics) if type(record.get("step")) is int]

    def _refuse_other_recipe(self, recipe: BaseModel) -> None:
        old = validate(type(recipe), read_yaml(self.recipe), source=str(self.recipe))
        if changes := differences(old, recipe, free=_FREE | {PICTURES_KEY}):
            raise CheckpointError(
                f"{self.root} was begun with another recipe ({'; '.join(changes)}). "
                f"Go on with the settings of {self.recipe}, or choose another --output."
            )
        was = getattr(old, PICTURES_KEY, None)  # recipes of earlier versions lack it
        if was not in (None, getattr(recipe, PICTURES_KEY, None)):
            raise CheckpointError(
                f"{self.root} was begun on other pictures than are there now: of other names, sizes or labels. Resume "
                "with the same data, or choose another --output."
            )
