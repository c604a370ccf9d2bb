"""The engine of every training run: steps, log, checkpoints, signals, and the end where numbers break down."""

import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sslhsic_transfer._memory import memory_gib
from sslhsic_transfer.data.readers import saved_first
from sslhsic_transfer.errors import TrainingError, TrainingInterruptedError
from sslhsic_transfer.training.checkpoint import save_checkpoint
from sslhsic_transfer.training.divergence import divergence
from sslhsic_transfer.training.interruption import Interruption
from sslhsic_transfer.training.progress import Progress
from sslhsic_transfer.training.run_folder import RunFolder

if TYPE_CHECKING:
    from accelerate import Accelerator

_LONG_STEP = 1.0  # seconds: launchers give processes half a minute after a signal


class TrainingRun(ABC):
    """The steps of a run from the first, or from where a checkpoint ends, to the last.

    A subclass says what a step is, what is logged of it and what a checkpoint holds.

    Args:
        folder: of the run, for its log and its checkpoints.
        accelerator: where it trains.
        start: steps that a checkpoint has made; 0 at the beginning.
        total_steps: steps of the run.
        batch_size: pictures of a step, over all processes.
        log_every: steps between two lines of the log.
        checkpoints_kept: how many of the latest checkpoints stay.
        title: what the progress bar begins with.
        progress: whether to show a progress bar.

    Attributes:
        saved_step: the step of the latest checkpoint; None: there is none.
        last_loss: of the latest step; None before the first.
    """

    def __init__(
        self,
        folder: RunFolder,
        accelerator: "Accelerator",
        *,
        start: int,
        total_steps: int,
        batch_size: int,
        log_every: int,
        checkpoints_kept: int,
        title: str,
        progress: bool,
    ) -> None:
        self.folder = folder
        self.accelerator = accelerator
        self.total_steps = total_steps
        self.batch_size = batch_size
        self.log_every = log_every
        self.checkpoints_kept = checkpoints_kept
        self.saved_step: int | None = start or None
        self.last_loss: Tensor | None = None
        self._agreed_every = log_every
        self._progress = Progress(total_steps, start, visible=progress and accelerator.is_main_process, title=title)

    @property
    @abstractmethod
    def step(self) -> int:
        """How many steps are made."""

    @property
    @abstractmethod
    def causes(self) -> str:
        """Settings that make a loss or weights infinite, to be named in the error."""

    @abstractmethod
    def weights(self) -> Iterable[Tensor]:
        """Give the tensors that must stay finite, the same in every process."""

    @abstractmethod
    def train_step(self, batch: Any, *, logged: bool) -> Tensor:
        """Make a step; return its loss, which is not waited for."""

    @abstractmethod
    def figures(self) -> dict[str, float]:
        """Compute what is logged of the steps since the last line, over all processes; ``"loss"`` is among it."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Give what a checkpoint holds; every process calls it."""

    def end_step(self, *, last: bool) -> bool:
        """Do what is due after a step, checkpoints among it; return whether it took time that is no training."""
        return False

    def reason_to_end(self, figures: dict[str, float]) -> str | None:
        """Tell from what was logged why going on makes no sense; None: it does."""
        return None

    def doubt(self) -> str | None:
        """Tell why the present state is not worth a checkpoint; None: it is."""
        return None

    def advice(self) -> str:
        """Tell how to go on after the numbers broke down."""
        return ""

    def place(self) -> dict[str, Any]:
        """Give what each line of the log begins with."""
        return {"step": self.step}

    def train(self, batches: Iterable[Any]) -> None:
        """Train to the last step.

        Args:
            batches: of the steps that remain.

        Raises:
            TrainingError: loss or weights are no longer finite; nothing that is not is saved.
            TrainingInterruptedError: SIGTERM or SIGINT; the state after the last step is saved.
            SSLHSICError: the pictures cannot be read; the state after the last step is saved.
        """
        with self._progress, Interruption() as interruption:
            clock, images = time.perf_counter(), 0
            for batch in saved_first(batches, self._save_reached):
                last = self.step + 1 == self.total_steps
                logged = last or (self.step + 1) % self.log_every == 0
                self.last_loss = self.train_step(batch, logged=logged)
                images += self.batch_size
                self._progress.advance()
                if logged:
                    self._log(images / (time.perf_counter() - clock))
                if self.end_step(last=last) or logged:
                    clock, images = time.perf_counter(), 0
                if not last:
                    self._stop_if_asked(interruption)

    def record(self, figures: dict[str, float]) -> None:
        """Write figures to the log, the trackers and the bar."""
        if self.accelerator.is_main_process:
            self.folder.log(self.place() | figures)
            self._progress.show(figures)
        self.accelerator.log(figures, step=self.step)

    def save(self, score: float | None = None) -> None:
        """Write a checkpoint; the state is checked first.

        Args:
            score: by which the best checkpoint is kept, beside the latest.

        Raises:
            TrainingError: loss or weights are no longer finite.
        """
        self._require_finite(None if self.last_loss is None else float(self.last_loss))
        state = self.state() | {"threads": torch.get_num_threads()}
        if self.accelerator.is_main_process:
            save_checkpoint(self.folder.checkpoints, self.step, state, keep=self.checkpoints_kept, score=score)
        self.saved_step = self.step
        self.accelerator.wait_for_everyone()

    def _log(self, speed: float) -> None:
        figures = self.figures()
        self._require_finite(figures["loss"])
        own = torch.tensor([self.batch_size / speed], device=self.accelerator.device)
        seconds = float(self.accelerator.reduce(own, "mean"))  # the mean, for all to come to the same judgement
        self._agreed_every = 1 if seconds > _LONG_STEP else self.log_every
        figures |= {
            "images_per_second": speed,
            "hours_left": (self.total_steps - self.step) * self.batch_size / speed / 3600,
            "memory_gib": memory_gib(self.accelerator.device),
        }
        self.record(figures)
        if reason := self.reason_to_end(figures):
            raise TrainingError(f"{reason} {self.advice()}".rstrip())

    def _require_finite(self, loss: float | None) -> None:
        if message := divergence(loss, self.weights(), self.step, self.causes):
            raise TrainingError(f"{message} {self.advice()}".rstrip())

    def _save_reached(self) -> Path | None:
        """Save the state after the last step, where no other process would be waited for, and tell the folder."""
        if self.accelerator.num_processes > 1 or not self.step or self.doubt():
            return None
        if self.saved_step != self.step:
            self.save()
        return self.folder.root

    def _stop_if_asked(self, interruption: Interruption) -> None:
        """Save and stop if any process was told to; several agree on it whenever they log, or after each long step."""
        received = int(interruption.received or 0)
        if self.accelerator.num_processes > 1:
            if self.step % self._agreed_every:
                return
            received = int(self.accelerator.gather(torch.tensor([received], device=self.accelerator.device)).max())
        if not received:
            return
        what = "All is saved"
        if (doubt := self.doubt()) and self.saved_step is not None:
            what = f"{doubt}, so the state of step {self.saved_step} is the last that is saved"
        elif self.saved_step != self.step:  # an epoch's end may just have saved it, with its score
            self.save()
        self.accelerator.wait_for_everyone()
        raise TrainingInterruptedError(
            f"Stopped by {signal.Signals(received).name} after step {self.step} of {self.total_steps}. "
            f"{what} in {self.folder.root}; go on with --resume.",
            received,
        )
