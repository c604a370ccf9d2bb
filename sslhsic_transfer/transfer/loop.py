"""Fine-tuning on Hugging Face Accelerate, for networks that are plain PyTorch: torchvision's and the depth heads.

Each step's pictures, augmentation and random numbers are a function of seed and step, so that a run that is taken up
goes on as if it had never stopped.
"""

import math
import signal
import time
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from sslhsic_transfer._finite import divergence
from sslhsic_transfer._seeds import mix_seed
from sslhsic_transfer._threads import resume_threads
from sslhsic_transfer._workers import reading_ahead, saved_first
from sslhsic_transfer.errors import ConfigError, DataError, TrainingError, TrainingInterruptedError
from sslhsic_transfer.pretrain.accelerator import build_accelerator
from sslhsic_transfer.pretrain.checkpoint import load_checkpoint, newest_intact, save_checkpoint, taking_up
from sslhsic_transfer.pretrain.interruption import Interruption
from sslhsic_transfer.pretrain.loading.dataset import StepSampler
from sslhsic_transfer.pretrain.monitors.health import memory_gib
from sslhsic_transfer.pretrain.monitors.progress import Progress
from sslhsic_transfer.pretrain.optimizer import parameter_groups, restore, set_learning_rate
from sslhsic_transfer.pretrain.run_folder import RunFolder
from sslhsic_transfer.transfer.settings import TransferSettings


class NetworkTask(Protocol):
    """What the loop asks of a task."""

    settings: TransferSettings

    def collate(self, examples: list[Any]) -> Any:
        """Examples to a batch."""

    def loss(self, network: nn.Module, batch: Any) -> Tensor:
        """A scalar to be minimised."""


def fit(task: NetworkTask, network: nn.Module, examples: Dataset[Any], folder: RunFolder, *, progress: bool) -> None:
    """Train a network in place.

    Args:
        task: its loss and settings.
        network: in train mode or not; it comes back in train mode, on the device it was trained on.
        examples: (index, seed) -> example.
        folder: the run's; the latest intact checkpoint in it is taken up.
        progress: whether to show a progress bar.

    Raises:
        ConfigError: a batch that the processes cannot share alike.
        DataError: fewer pictures than a batch holds.
        TrainingError: loss or weights are no longer finite; nothing that is not is saved.
        TrainingInterruptedError: SIGTERM or SIGINT; the state after the last step is saved.
    """
    settings = task.settings
    count = len(examples)  # type: ignore[arg-type]
    if count < settings.batch_size:
        raise DataError(
            f"There are {count} training pictures, fewer than a batch of {settings.batch_size}: lower batch_size."
        )
    _Fit(task, network, examples, folder, count, progress).run()


def learning_rate_share(step: int, settings: TransferSettings) -> float:
    """The learning rate's share of its peak at a step, from 0 on."""
    if step < settings.warmup:
        return (step + 1) / (settings.warmup + 1)
    t = (step - settings.warmup) / (settings.iterations - settings.warmup)
    if settings.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * t))
    if settings.schedule == "poly":
        return float((1 - t) ** 0.9)
    share = step / settings.iterations
    return 0.01 if share >= 0.9 else 0.1 if share >= 0.7 else 1.0


class _Fit:
    """One call of `fit`."""

    def __init__(
        self,
        task: NetworkTask,
        network: nn.Module,
        examples: Dataset[Any],
        folder: RunFolder,
        count: int,
        progress: bool,
    ) -> None:
        self.task, self.folder, self.settings = task, folder, task.settings
        self.accelerator = build_accelerator(self.settings.precision, [], folder.root)
        if self.settings.batch_size % self.accelerator.num_processes:
            raise ConfigError(
                f"Got batch_size={self.settings.batch_size} for {self.accelerator.num_processes} processes; expected a "
                "multiple of them, so that every picture weighs the same."
            )
        self.accelerator.wait_for_everyone()  # the first process may still be at the run's folder
        if self.accelerator.num_processes > 1 and self.accelerator.device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        self.plain = network = network.to(self.accelerator.device).to(memory_format=torch.channels_last)
        trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
        groups = parameter_groups(trained, self.settings.weight_decay)
        rate, momentum = self.settings.learning_rate, self.settings.momentum
        fused = self.accelerator.device.type == "cuda"
        self.optimizer = (
            torch.optim.AdamW(groups, lr=rate, fused=fused)
            if self.settings.optimizer == "adamw"
            else torch.optim.SGD(groups, lr=rate, momentum=momentum, nesterov=self.settings.nesterov, fused=fused)
        )
        self.step = self._take_up()
        self.network, self.prepared = self.accelerator.prepare(network, self.optimizer)
        sampler = StepSampler(
            count,
            self.settings.batch_size,
            start=self.step,
            total_steps=self.settings.iterations,
            seed=self.settings.seed,
            rank=self.accelerator.process_index,
            processes=self.accelerator.num_processes,
        )
        self.loader = reading_ahead(examples, self.settings.workers, batch_sampler=sampler, collate_fn=task.collate)
        self.progress = Progress(
            self.settings.iterations,
            self.step,
            visible=progress and self.accelerator.is_main_process,
            title="fine-tune",
        )

    def run(self) -> None:
        """Train to the end."""
        self.network.train()
        losses, clock, pictures = [], time.perf_counter(), 0
        with self.progress, Interruption() as interruption:
            for batch in saved_first(self.loader, self._save_reached):
                loss = self._train_step(batch)
                losses.append(loss)
                pictures += self.settings.batch_size
                self.progress.advance()
                last = self.step == self.settings.iterations
                if last or self.step % self.settings.log_every == 0:
                    self._log(torch.stack(losses).mean(), pictures / (time.perf_counter() - clock))
                    losses, clock, pictures = [], time.perf_counter(), 0
                if last or self.step % self.settings.checkpoint_every == 0:
                    self._save()
                if not last:
                    self._stop_if_asked(interruption)

    def _save_reached(self) -> Path | None:
        """Save the state after the last step, where no other process would be waited for, and tell the folder."""
        if self.accelerator.num_processes > 1 or not self.step:
            return None
        self._save()
        return self.folder.root

    def _train_step(self, batch: Any) -> Tensor:
        rate = self.settings.learning_rate * learning_rate_share(self.step, self.settings)
        set_learning_rate(self.optimizer, rate)
        torch.manual_seed(mix_seed(self.settings.seed, self.step, self.accelerator.process_index))
        with self.accelerator.autocast():
            loss = self.task.loss(self.network, _to(batch, self.accelerator.device))
        self.accelerator.backward(loss)
        if self.settings.clip_gradient:
            self.accelerator.clip_grad_norm_(self.network.parameters(), self.settings.clip_gradient)
        self.prepared.step()
        self.prepared.zero_grad()
        self.step += 1
        return loss.detach()

    def _log(self, loss: Tensor, speed: float) -> None:
        value = float(self.accelerator.reduce(loss, "mean"))
        self._require_finite(value)
        if self.accelerator.is_main_process:
            rate = self.optimizer.param_groups[0]["lr"]
            record = {
                "step": self.step,
                "loss": value,
                "learning_rate": rate,
                "images_per_second": speed,
                "memory_gib": memory_gib(self.accelerator.device),
            }
            self.folder.log(record)
            self.progress.show(record)

    def _require_finite(self, loss: float | None = None) -> None:
        """Weights are the same in every process: all come to the same judgement."""
        settings = self.settings
        causes = (
            f"learning_rate ({settings.learning_rate}) too high, warmup ({settings.warmup}) too short, clip_gradient "
            f"({settings.clip_gradient})"
        )
        if message := divergence(loss, self.plain.parameters(), self.step, causes):
            raise TrainingError(message)

    def _stop_if_asked(self, interruption: Interruption) -> None:
        received = int(interruption.received or 0)
        if self.accelerator.num_processes > 1:
            if self.step % self.settings.log_every:
                return
            received = int(self.accelerator.gather(torch.tensor([received], device=self.accelerator.device)).max())
        if received:
            self._save()
            self.accelerator.wait_for_everyone()
            raise TrainingInterruptedError(
                f"Stopped by {signal.Signals(received).name} after step {self.step} of {self.settings.iterations}. "
                f"All is saved in {self.folder.root}; go on with --resume.",
                received,
            )

    def _save(self) -> None:
        self._require_finite()
        if self.accelerator.is_main_process:
            state: dict[str, Any] = {"network": self.plain.state_dict(), "optimizer": self.optimizer.state_dict()}
            state["threads"] = torch.get_num_threads()
            if self.accelerator.scaler is not None:  # fp16
                state["scaler"] = self.accelerator.scaler.state_dict()
            save_checkpoint(self.folder.checkpoints, self.step, state, keep=1)
        self.accelerator.wait_for_everyone()

    def _take_up(self) -> int:
        """Load the latest checkpoint, if there is one, and tell its step; every process reads it."""
        checkpoint = newest_intact(self.folder.checkpoints)
        if checkpoint is None:
            return 0
        step, state = load_checkpoint(checkpoint)
        resume_threads(state.get("threads"))
        with taking_up(checkpoint):
            self.plain.load_state_dict(state["network"])
            restore(self.optimizer, state["optimizer"])
            if self.accelerator.scaler is not None and "scaler" in state:
                self.accelerator.scaler.load_state_dict(state["scaler"])
        if self.accelerator.is_main_process:
            self.folder.forget_after(step)
        return step


def _to(batch: Any, device: torch.device) -> Any:
    """A batch's tensors, however nested, on a device."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {key: _to(value, device) for key, value in batch.items()}
    return type(batch)(_to(value, device) for value in batch)
