"""Fine-tuning with Hugging Face Accelerate, for plain PyTorch networks: torchvision's and the depth heads.

Each step's pictures, augmentation and random numbers depend only on seed and step. A resumed run therefore continues as
if it had never stopped.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from sslhsic_transfer._seeds import mix_seed
from sslhsic_transfer._threads import resume_threads
from sslhsic_transfer.data.readers import reading_ahead
from sslhsic_transfer.errors import ConfigError, DataError
from sslhsic_transfer.training.accelerator import build_accelerator
from sslhsic_transfer.training.checkpoint import load_checkpoint, newest_intact, restoring_from
from sslhsic_transfer.training.optimizer import build_optimizer, restore, set_learning_rate
from sslhsic_transfer.training.run import TrainingRun
from sslhsic_transfer.training.run_folder import RunFolder
from sslhsic_transfer.training.sampler import StepSampler
from sslhsic_transfer.training.schedules import learning_rate_share
from sslhsic_transfer.transfer.settings import TransferSettings

if TYPE_CHECKING:
    from accelerate import Accelerator


class NetworkTask(Protocol):
    """The interface of a task that the loop needs."""

    settings: TransferSettings

    def collate(self, examples: list[Any]) -> Any:
        """Combine examples into a batch."""

    def loss(self, network: nn.Module, batch: Any) -> Tensor:
        """Return a scalar to minimize."""


def fit(task: NetworkTask, network: nn.Module, examples: Dataset[Any], folder: RunFolder, *, progress: bool) -> None:
    """Train a network in place.

    Args:
        task: provides loss and settings.
        network: the network, in any mode; it ends in train mode, on the training device.
        examples: (index, seed) -> example.
        folder: the run's folder; training resumes from the latest intact checkpoint in it.
        progress: whether to show a progress bar.

    Raises:
        ConfigError: the batch cannot be divided equally among the processes.
        DataError: there are fewer pictures than a batch holds.
        TrainingError: the loss or weights are no longer finite; such a state is not saved.
        TrainingInterruptedError: SIGTERM or SIGINT arrived; the state after the last step is saved.
    """
    settings = task.settings
    count = len(examples)  # type: ignore[arg-type]
    if count < settings.batch_size:
        raise DataError(
            f"There are {count} training pictures, fewer than a batch of {settings.batch_size}: lower batch_size."
        )
    _FineTune(task, network, examples, folder, count, progress).run()


class _FineTune(TrainingRun):
    """State of one call of `fit`."""

    def __init__(
        self,
        task: NetworkTask,
        network: nn.Module,
        examples: Dataset[Any],
        folder: RunFolder,
        count: int,
        progress: bool,
    ) -> None:
        self.task = task
        self.settings = settings = task.settings
        accelerator = build_accelerator(settings.precision, [], folder.root)
        if settings.batch_size % accelerator.num_processes:
            raise ConfigError(
                f"Got batch_size={settings.batch_size} for {accelerator.num_processes} processes; expected a "
                "multiple of them, so that every picture weighs the same."
            )
        accelerator.wait_for_everyone()  # the first process may still be writing to the run's folder
        if accelerator.num_processes > 1 and accelerator.device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        self.plain = network = network.to(accelerator.device).to(memory_format=torch.channels_last)
        self.optimizer = build_optimizer(
            settings.optimizer,
            {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad},
            weight_decay=settings.weight_decay,
            momentum=settings.momentum,
            nesterov=settings.nesterov,
        )
        self._step = self._take_up(folder, accelerator)
        super().__init__(
            folder,
            accelerator,
            start=self._step,
            total_steps=settings.iterations,
            batch_size=settings.batch_size,
            log_every=settings.log_every,
            checkpoints_kept=1,
            title="fine-tune",
            progress=progress,
        )
        self.network, self.prepared = accelerator.prepare(network, self.optimizer)
        sampler = StepSampler(
            count,
            settings.batch_size,
            start=self._step,
            total_steps=settings.iterations,
            seed=settings.seed,
            rank=accelerator.process_index,
            processes=accelerator.num_processes,
        )
        self.loader = reading_ahead(examples, settings.workers, batch_sampler=sampler, collate_fn=task.collate)
        self._losses: list[Tensor] = []

    def run(self) -> None:
        """Train until the last step."""
        self.network.train()
        self.train(self.loader)

    @property
    def step(self) -> int:
        return self._step

    @property
    def causes(self) -> str:
        settings = self.settings
        return (
            f"learning_rate ({settings.learning_rate}) too high, warmup ({settings.warmup}) too short, clip_gradient "
            f"({settings.clip_gradient})"
        )

    def weights(self) -> Iterable[Tensor]:
        return self.plain.parameters()

    def train_step(self, batch: Any, *, logged: bool) -> Tensor:
        settings = self.settings
        share = learning_rate_share(
            self._step, schedule=settings.schedule, warmup=settings.warmup, total_steps=settings.iterations
        )
        set_learning_rate(self.optimizer, settings.learning_rate * share)
        torch.manual_seed(mix_seed(settings.seed, self._step, self.accelerator.process_index))
        with self.accelerator.autocast():
            loss = self.task.loss(self.network, _to(batch, self.accelerator.device))
        self.accelerator.backward(loss)
        if settings.clip_gradient:
            self.accelerator.clip_grad_norm_(self.network.parameters(), settings.clip_gradient)
        self.prepared.step()
        self.prepared.zero_grad()
        self._step += 1
        self._losses.append(loss.detach())
        return self._losses[-1]

    def figures(self) -> dict[str, float]:
        loss = float(self.accelerator.reduce(torch.stack(self._losses).mean(), "mean"))
        self._losses = []
        return {"loss": loss, "learning_rate": self.optimizer.param_groups[0]["lr"]}

    def end_step(self, *, last: bool) -> bool:
        """Save at the configured interval and at the end."""
        if last or self._step % self.settings.checkpoint_every == 0:
            self.save()
        return False

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = {"network": self.plain.state_dict(), "optimizer": self.optimizer.state_dict()}
        if self.accelerator.scaler is not None:  # fp16
            state["scaler"] = self.accelerator.scaler.state_dict()
        return state

    def _take_up(self, folder: RunFolder, accelerator: "Accelerator") -> int:
        """Load the latest checkpoint, if there is one, in every process, and return its step."""
        checkpoint = newest_intact(folder.checkpoints)
        if checkpoint is None:
            return 0
        step, state = load_checkpoint(checkpoint)
        resume_threads(state.get("threads"))
        with restoring_from(checkpoint):
            self.plain.load_state_dict(state["network"])
            restore(self.optimizer, state["optimizer"])
            if accelerator.scaler is not None and "scaler" in state:
                accelerator.scaler.load_state_dict(state["scaler"])
        if accelerator.is_main_process:
            folder.forget_after(step)
        return step


def _to(batch: Any, device: torch.device) -> Any:
    """Move a batch's tensors, however nested, to a device."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {key: _to(value, device) for key, value in batch.items()}
    return type(batch)(_to(value, device) for value in batch)
