"""NOTE PLACES ARGUMENTS…: the command line, where calls that wait for the device are counted between logged steps.

Torch warns of each in its mode "warn". The first steps, which compile and allocate, are left out, and so is a step that
is logged, with all that follows it.
"""

import collections
import json
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

import torch
from peak import note_peak

from sslhsic_transfer.cli import main as sslhsic
from sslhsic_transfer.pretrain import loop

_WARM_UP = 3
_WARNING = "called a synchronizing CUDA operation"


class WatchingTrainer(loop.Trainer):
    """A `Trainer` during whose steps, and between them, synchronizing calls are counted by the place they come from."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.places: collections.Counter[str] = collections.Counter()
        self.watched_steps = self.control = 0
        self.watching = False

    def train_step(self, micro_batches: Any, *, watched: bool = False) -> Any:
        """Make a step; watch from the end of the warm-up to the next logged step."""
        if watched:
            self._watch(False)
        done = super().train_step(micro_batches, watched=watched)
        self.watched_steps += self.watching
        if not watched and self.step == _WARM_UP:
            self._watch(True)
            torch.zeros((), device=self.accelerator.device).item()  # waits for the device: this must be counted
            self.control, self.places = self.places.total(), collections.Counter()
        return done

    def _watch(self, on: bool) -> None:
        if self.watching and not on:
            note = {"steps": self.watched_steps, "control": self.control, "places": dict(self.places.most_common())}
            Path(_places).write_text(json.dumps(note), encoding="utf-8")
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn" if on else "default")
        self.watching = on
        warnings.showwarning = self._count

    def _count(self, message: Warning | str, category: type[Warning], filename: str, line: int, *_: Any) -> None:
        if not self.watching or _WARNING not in str(message):
            print(f"{filename}:{line}: {category.__name__}: {message}", file=sys.stderr)
            return
        stack = [frame for frame in traceback.extract_stack()[:-1] if "/warnings.py" not in frame.filename]
        own = [frame for frame in stack if _is_ours(frame.filename)]
        told = [f"{Path(frame.filename).name}:{frame.lineno} {frame.line}" for frame in (*own[-1:], *stack[-1:])]
        self.places[" → ".join(dict.fromkeys(told))] += 1


def _is_ours(filename: str) -> bool:
    parts = Path(filename).parts
    return bool({"sslhsic_transfer", "pretrain"} & set(parts)) and Path(filename) != Path(__file__)


if __name__ == "__main__":
    _note, _places, *_arguments = sys.argv[1:]
    note_peak(_note)
    loop.Trainer = WatchingTrainer  # type: ignore[misc]
    sys.argv = ["sslhsic", *_arguments]
    sslhsic()
