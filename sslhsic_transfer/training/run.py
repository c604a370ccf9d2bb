"""The loop of every training run: steps, log, checkpoints, signals, and errors when training diverges."""

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

_LONG_STEP = 1.0  # seconds; after a signal, launchers wait half a minute for processes


class TrainingRun(ABC):
    """Base class of runs, which makes the steps from the first, or from a checkpoint, to the last.

    A subclass defines a step, the figures to log and the content of a checkpoint.

    Args:
        folder: the run's folder, for its log and its checkpoints.
        accelerator: the device and processes to train on.
        start: number of steps before the checkpoint; 0 at the beginning.
        total_steps: number of steps of the run.
        batch_size: number of pictures in a step, over all processes.
        log_every: number of steps between two lines of the log.
        checkpoints_kept: number of latest checkpoints to keep.
        title: title of the progress bar.
        progress: whether to show a progress bar.

    Attributes:
        saved_step: the step of the latest checkpoint; None: there is none.
        last_loss: loss of the latest step; None before the first.
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
        """Number of steps made so far."""

    @property
    @abstractmethod
    def causes(self) -> str:
        """Settings that can make loss or weights infinite, for the error message."""

    @abstractmethod
    def weights(self) -> Iterable[Tensor]:
        """Return the tensors that must stay finite, the same in every process."""

    @abstractmethod
    def train_step(self, batch: Any, *, logged: bool) -> Tensor:
        """Make a step and return its loss, without waiting for the device."""

    @abstractmethod
    def figures(self) -> dict[str, float]:
        """Compute the figures to log since the last line, over all processes, including ``"loss"``."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return the content of a checkpoint; every process calls this method."""

    def end_step(self, *, last: bool) -> bool:
        """Do the work due after a step, such as checkpoints; return True if it took time besides training."""
        return False

    def reason_to_end(self, figures: dict[str, float]) -> str | None:
        """Return a reason to end the run, judged by the logged figures, or None to go on."""
        return None

    def doubt(self) -> str | None:
        """Return a reason not to save the present state, or None if it can be saved."""
        return None

    def advice(self) -> str:
        """Return advice on how to continue after a divergence."""
        return ""

    def place(self) -> dict[str, Any]:
        """Return the first entries of each line of the log."""
        return {"step": self.step}

    def train(self, batches: Iterable[Any]) -> None:
        """Train to the last step.

        Args:
            batches: batches of the remaining steps.

        Raises:
            TrainingError: loss or weights are no longer finite; such weights are not saved.
            TrainingInterruptedError: SIGTERM or SIGINT was received; the state after the last step is saved.
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
        """Check the state and write a checkpoint.

        Args:
            score: score by which the best checkpoint is kept besides the latest.

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
        seconds = float(self.accelerator.reduce(own, "mean"))  # the mean, so that all processes decide alike
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
        """Save the state after the last step if no other process has to be waited for, and return the folder."""
        if self.accelerator.num_processes > 1 or not self.step or self.doubt():
            return None
        if self.saved_step != self.step:
            self.save()
        return self.folder.root

    def _stop_if_asked(self, interruption: Interruption) -> None:
        """Save and stop if any process got a signal; several processes check together at each log or long step."""
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
        elif self.saved_step != self.step:  # the end of an epoch may already have saved it, with its score
            self.save()
        self.accelerator.wait_for_everyone()
        raise TrainingInterruptedError(
            f"Stopped by {signal.Signals(received).name} after step {self.step} of {self.total_steps}. "
            f"{what} in {self.folder.root}; go on with --resume.",
            received,
        )
