"""The pretraining run on Hugging Face Accelerate: training, logging, checkpoints and the exported model."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sslhsic_transfer._devices import tuned_convolutions
from sslhsic_transfer._memory import advising_on_memory
from sslhsic_transfer._threads import resume_threads
from sslhsic_transfer.data.sources import PretrainingData, find_data
from sslhsic_transfer.data.sources.fingerprint import fingerprint
from sslhsic_transfer.data.sources.folders import refuse_output_among
from sslhsic_transfer.errors import CheckpointError, DataError
from sslhsic_transfer.pretrain.export import export_run
from sslhsic_transfer.pretrain.loading.damage import DamageRecord
from sslhsic_transfer.pretrain.loading.loader import build_loader
from sslhsic_transfer.pretrain.monitors.health import CollapseGuard
from sslhsic_transfer.pretrain.monitors.online import OnlineEvaluation
from sslhsic_transfer.pretrain.recipe import Recipe
from sslhsic_transfer.pretrain.trainer import Scalars, Trainer
from sslhsic_transfer.pretrain.views import View
from sslhsic_transfer.training.accelerator import build_accelerator
from sslhsic_transfer.training.checkpoint import list_checkpoints, load_checkpoint, restoring_from
from sslhsic_transfer.training.run import TrainingRun
from sslhsic_transfer.training.run_folder import RunFolder
from sslhsic_transfer.training.sampler import check_shares

if TYPE_CHECKING:
    from accelerate import Accelerator


def pretrain(
    recipe: Recipe, data: str | Path, output: str | Path, *, resume: bool = False, progress: bool = True
) -> Path:
    """Pretrain an encoder.

    Args:
        recipe: the run's settings, see `load_recipe`.
        data: the pictures, as a folder, tar shards or an address, see `find_data`.
        output: folder of the run.
        resume: whether to continue from the latest checkpoint in ``output``, if there is one.
        progress: whether to show a progress bar.

    Returns:
        The model folder, ``output/model``, ready for `from_pretrained`.

    Raises:
        DataError: there are no pictures, or fewer than a batch.
        DeviceMemoryError: the device has run out of memory.
        ConfigError: the batch cannot be divided among the processes, or ``output`` lies among the pictures.
        ConfigError, ModelNotFoundError: ``init_from`` does not lead to weights of the recipe's encoder.
        OutputExistsError, CheckpointError: ``output`` holds a run that cannot be overwritten or resumed.
        OutputBusyError: another process is using ``output``.
        TrainingError: loss or weights are no longer finite, or the embeddings have collapsed.
        TrainingInterruptedError: SIGTERM or SIGINT was received; the state after the last step is saved.
    """
    folder = RunFolder(output)
    with folder.locked():
        found = find_data(data)
        if len(found.train) < recipe.batch_size:
            raise DataError(
                f"{data} holds {len(found.train)} pictures, fewer than a batch of {recipe.batch_size}: "
                f"set batch_size={len(found.train)} or less; better a small part of them."
            )
        refuse_output_among(found.train, folder.root)
        return _PretrainingRun(recipe, found, folder, resume=resume, progress=progress).run()


class _PretrainingRun(TrainingRun):
    """One call of `pretrain`."""

    def __init__(
        self, recipe: Recipe, data: PretrainingData, folder: RunFolder, *, resume: bool, progress: bool
    ) -> None:
        self.recipe = recipe
        self.data = data
        accelerator = build_accelerator(recipe.precision, recipe.trackers, folder.root)
        check_shares(recipe.batch_size, accelerator.num_processes, recipe.micro_batch_size)
        checkpoint = _begin(folder, recipe, accelerator, resume=resume)
        self.trainer = Trainer(recipe, accelerator, pictures=len(data.train), fresh=checkpoint is None)
        places = self._load(checkpoint, folder) if checkpoint is not None else {}
        super().__init__(
            folder,
            accelerator,
            start=self.trainer.step,
            total_steps=self.trainer.total_steps,
            batch_size=recipe.batch_size,
            log_every=recipe.monitor.log_every,
            checkpoints_kept=recipe.checkpoints_kept,
            title="pretrain",
            progress=progress,
        )
        self.loader = build_loader(
            data.train,
            recipe,
            device=accelerator.device,
            progress=progress and accelerator.is_main_process,
            start=self.trainer.step,
            total_steps=self.trainer.total_steps,
            damage=DamageRecord(folder.damaged, len(data.train), recipe.max_damaged),
            rank=accelerator.process_index,
            processes=accelerator.num_processes,
        )
        self.loader.load_state_dict(places)
        if accelerator.is_main_process:
            folder.forget_after(self.trainer.step)
        self.evaluation = OnlineEvaluation(data, recipe.monitor) if recipe.monitor.evaluate_every else None
        self.guard = CollapseGuard(recipe.monitor)
        self._scalars: Scalars = {}

    def run(self) -> Path:
        """Train to the end and write the model folder."""
        self.accelerator.init_trackers("logs", config={"recipe": self.folder.recipe.read_text(encoding="utf-8")})
        try:
            names = partial(fingerprint, self.data.train, sizes=False)
            with self._device_settings(), self.folder.noting_unreadable(names):
                self.train(self.loader)
            if self.accelerator.is_main_process:
                export_run(self.folder, self.trainer, self.data, self.evaluation)
            self.accelerator.wait_for_everyone()
        finally:
            self.accelerator.end_training()
        return self.folder.model

    @contextmanager
    def _device_settings(self) -> Iterator[None]:
        """Choose fast kernels, and advise on settings if the device runs out of memory."""
        share = -(-self.recipe.batch_size // self.accelerator.num_processes)
        half = max(2, (self.recipe.micro_batch_size or share) // 2)
        advice = (
            f"Set micro_batch_size={half} and resume or begin anew: the gradient stays that of the whole batch, at the "
            "cost of one more forward pass a step. A cache on the device takes memory, too: data.cache=ram."
        )
        with tuned_convolutions(), advising_on_memory(advice):
            yield

    @property
    def step(self) -> int:
        return self.trainer.step

    @property
    def causes(self) -> str:
        settings = self.recipe.optimizer
        return (
            f"optimizer.learning_rate ({settings.learning_rate}) too high, optimizer.warmup_epochs "
            f"({settings.warmup_epochs}) too short"
        )

    def weights(self) -> Iterable[Tensor]:
        return self.trainer.learner.trained_parameters().values()

    def train_step(self, batch: list[tuple[View, View]], *, logged: bool) -> Tensor:
        self._epochs_before = self.trainer.whole_epochs
        loss, scalars = self.trainer.train_step(batch, watched=logged)
        self._scalars = {"loss": loss, **scalars}
        return loss

    def figures(self) -> dict[str, float]:
        on_device = {name: value for name, value in self._scalars.items() if isinstance(value, Tensor)}
        told = torch.stack([value.detach().float() for value in on_device.values()]).tolist()  # one wait
        values: dict[str, float] = {**self._scalars, **dict(zip(on_device, told, strict=True))}  # type: ignore[dict-item]
        if not math.isfinite(values["gradient_norm"]):  # a gradient scaler has skipped the step
            del values["gradient_norm"]
        spread = torch.tensor([values["embedding_std"]], device=self.accelerator.device)
        values["embedding_std"] = float(self.accelerator.reduce(spread, "mean"))
        return values

    def reason_to_end(self, figures: dict[str, float]) -> str | None:
        return self.guard.diagnosis(figures) if self.guard.observe(figures["embedding_std"]) else None

    def doubt(self) -> str | None:
        return "The embeddings look collapsed" if self.guard.suspicious else None

    def advice(self) -> str:
        checkpoints = list_checkpoints(self.folder.checkpoints)
        if not checkpoints:
            return "There is no checkpoint yet: begin anew with other settings."
        return (
            f"The last good checkpoint is {checkpoints[-1]}: begin a new run from its weights, with other settings, by "
            f"init_from={checkpoints[-1]}."
        )

    def place(self) -> dict[str, Any]:
        return {"step": self.trainer.step, "epoch": round(self.trainer.epoch, 4)}

    def end_step(self, *, last: bool) -> bool:
        """Evaluate and save at the end of an epoch."""
        epoch, accuracy = self.trainer.whole_epochs, None
        if not last and epoch == self._epochs_before:
            return False
        due = last or epoch % max(1, self.recipe.monitor.evaluate_every) == 0
        if self.evaluation is not None and due and self.accelerator.is_main_process:
            figures = self.evaluation(self.trainer.evaluated_encoder(), self.recipe.workers)
            accuracy = figures.get("knn")
            self.record(figures)
        if last or (epoch % self.recipe.checkpoint_every == 0 and not self.guard.suspicious):
            self.save(accuracy)
        self.accelerator.wait_for_everyone()
        return True

    def state(self) -> dict[str, Any]:
        from accelerate.utils import gather_object

        return {
            "pictures": len(self.data.train),
            "pictures_sha256": self.pictures_sha256,
            "loaders": gather_object([self.loader.state_dict()]),
            "trainer": self.trainer.state_dict(),
        }

    @cached_property
    def pictures_sha256(self) -> str:
        """Hash of the pictures' identity; older checkpoints lack it and are resumed without the check."""
        return fingerprint(self.data.train)

    def _load(self, checkpoint: Path, folder: RunFolder) -> dict[str, Any]:
        """Restore a checkpoint's state and return the loader's part of it."""
        step, state = load_checkpoint(checkpoint)
        if state["pictures"] != len(self.data.train):
            raise CheckpointError(
                f"{folder.root} was begun on {state['pictures']} pictures; {self.data.name} now holds "
                f"{len(self.data.train)}. Resume with the same data, or choose another --output."
            )
        same = state.get("pictures_sha256", self.pictures_sha256) == self.pictures_sha256
        if not same and not folder.may_be_mended(fingerprint(self.data.train, sizes=False)):
            raise CheckpointError(
                f"{folder.root} was begun on other pictures than {self.data.name} now holds, though as many: "
                "names, sizes or labels differ. Resume with the same data, or begin a new run from these weights by "
                f"init_from={checkpoint}."
            )
        resume_threads(state.get("threads"))
        with restoring_from(checkpoint):
            self.trainer.load_state_dict(step, state["trainer"])
            loaders: list[dict[str, Any]] = state["loaders"]
            # If the number of processes differs, any process's state lets the loader decide whether it can go on.
            accelerator = self.trainer.accelerator
            return loaders[accelerator.process_index if len(loaders) == accelerator.num_processes else 0]


def _begin(folder: RunFolder, recipe: Recipe, accelerator: "Accelerator", *, resume: bool) -> Path | None:
    """Begin a run, or find the checkpoint to resume from; the main process decides."""
    checkpoint = folder.begin(recipe, resume=resume) if accelerator.is_main_process else None
    if accelerator.num_processes > 1:
        from accelerate.utils import broadcast_object_list

        (checkpoint,) = broadcast_object_list([checkpoint])
    return checkpoint
