"""The folder of a run: ``recipe.yaml``, ``metrics.jsonl``, ``damaged.jsonl`` where pictures could not be read,
``checkpoints/`` and, at the end, ``model/``.
"""

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sslhsic_transfer._config import as_yaml, differences, read_yaml, validated
from sslhsic_transfer._files import append_json_lines, read_json_lines, write_json_lines, write_text
from sslhsic_transfer.errors import CheckpointError, OutputExistsError
from sslhsic_transfer.pretrain.checkpoint import newest_intact

# Settings that change no figure, and may change when a run is taken up.
_FREE = {"workers", "max_damaged", "checkpoint_every", "checkpoints_kept", "trackers"}


class RunFolder:
    """Paths of a run, and its log.

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

    def begin(self, recipe: BaseModel, *, resume: bool) -> Path | None:
        """Start or take up a run.

        Args:
            recipe: the recipe of this start.
            resume: whether to go on from the latest checkpoint.

        Returns:
            The checkpoint to go on from, the latest that is intact; None to start at the beginning.

        Raises:
            OutputExistsError: there is a run already and ``resume`` is false.
            CheckpointError: the run that is there has another recipe, or no checkpoint of it can be read.
        """
        if self._holds_a_run():
            if not resume:
                raise OutputExistsError(
                    f"{self.root} already holds a run; go on with it by --resume, or choose another --output."
                )
            self._refuse_other_recipe(recipe)
        write_text(self.recipe, as_yaml(recipe))
        return newest_intact(self.checkpoints)

    def _holds_a_run(self) -> bool:
        """Whether there is more than the recipe of a start that came to nothing."""
        return self.recipe.exists() and any(entry != self.recipe for entry in self.root.iterdir())

    def log(self, record: dict[str, Any]) -> None:
        """Add a line to metrics.jsonl."""
        append_json_lines(self.metrics, [record])

    def forget_after(self, step: int) -> None:
        """Drop lines of metrics.jsonl from beyond a step, which a resumed run will write again."""
        write_json_lines(self.metrics, [record for record in self.read_metrics() if record["step"] <= step])

    def read_metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; a last one that was cut short by a crash is left out."""
        return read_json_lines(self.metrics)

    def _refuse_other_recipe(self, recipe: BaseModel) -> None:
        old = validated(type(recipe), read_yaml(self.recipe), source=str(self.recipe))
        if changes := differences(old, recipe, free=_FREE):
            raise CheckpointError(
                f"{self.root} was begun with another recipe ({'; '.join(changes)}). "
                f"Go on with the settings of {self.recipe}, or choose another --output."
            )
