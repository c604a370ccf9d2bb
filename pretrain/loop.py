"""A pretraining run on Hugging Face Accelerate: steps, what is logged of them, checkpoints, the model at the end."""

import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from sslhsic_transfer._devices import tuned_convolutions
from sslhsic_transfer._finite import divergence
from sslhsic_transfer._memory import advising_on_memory
from sslhsic_transfer._threads import resume_threads
from sslhsic_transfer._workers import saved_first
from sslhsic_transfer.errors import CheckpointError, DataError, TrainingError, TrainingInterruptedError
from sslhsic_transfer.pretrain.accelerator import build_accelerator
from sslhsic_transfer.pretrain.checkpoint import list_checkpoints, load_checkpoint, save_checkpoint, taking_up
from sslhsic_transfer.pretrain.export import export_run
from sslhsic_transfer.pretrain.interruption import Interruption
from sslhsic_transfer.pretrain.loading.damage import DamageRecord
from sslhsic_transfer.pretrain.loading.dataset import check_shares
from sslhsic_transfer.pretrain.loading.loader import build_loader
from sslhsic_transfer.pretrain.monitors.health import CollapseGuard, memory_gib
from sslhsic_transfer.pretrain.monitors.online import OnlineEvaluation
from sslhsic_transfer.pretrain.monitors.progress import Progress
from sslhsic_transfer.pretrain.recipe import Recipe
from sslhsic_transfer.pretrain.run_folder import RunFolder
from sslhsic_transfer.pretrain.sources import PretrainingData, find_data
from sslhsic_transfer.pretrain.sources.fingerprint import fingerprint
from sslhsic_transfer.pretrain.sources.folders import refuse_output_among
from sslhsic_transfer.pretrain.trainer import Scalars, Trainer

_LONG_STEP = 1.0  # seconds: launchers give processes half a minute after a signal


def pretrain(
    recipe: Recipe, data: str | Path, output: str | Path, *, resume: bool = False, progress: bool = True
) -> Path:
    """Pretrain an encoder.

    Args:
        recipe: what to do, see `load_recipe`.
        data: pictures: a folder, tar shards or an address, see `find_data`.
        output: folder of the run.
        resume: go on from the latest checkpoint in ``output``, or start where there is none.
        progress: whether to show a progress bar.

    Returns:
        The model folder, ``output/model``, ready for `from_pretrained`.

    Raises:
        DataError: no pictures, or fewer than a batch.
        DeviceMemoryError: the device has no more memory.
        ConfigError: a batch that the processes cannot share, or an output among the pictures.
        ConfigError, ModelNotFoundError: ``init_from`` does not lead to weights of the recipe's encoder.
        OutputExistsError, CheckpointError: ``output`` holds a run that cannot be overwritten or taken up.
        OutputBusyError: another process is at work in ``output``.
        TrainingError: loss or weights are no longer finite, or the embeddings have collapsed.
        TrainingInterruptedError: SIGTERM or SIGINT; the state after the last step is saved.
    """
    folder = RunFolder(output)
    with folder.held():
        found = find_data(data)
        if len(found.train) < recipe.batch_size:
            raise DataError(
                f"{data} holds {len(found.train)} pictures, fewer than a batch of {recipe.batch_size}: "
                f"set batch_size={len(found.train)} or less; better a small part of them."
            )
        refuse_output_among(found.train, folder.root)
        return _Run(recipe, found, folder, resume=resume, progress=progress).run()


class _Run:
    """One call of `pretrain`."""

    def __init__(
        self, recipe: Recipe, data: PretrainingData, folder: RunFolder, *, resume: bool, progress: bool
    ) -> None:
        self.recipe = recipe
        self.data = data
        self.folder = folder
        self.accelerator = build_accelerator(recipe.precision, recipe.trackers, folder.root)
        check_shares(recipe.batch_size, self.accelerator.num_processes, recipe.micro_batch_size)
        checkpoint = self._find_checkpoint(resume)
        self.trainer = Trainer(recipe, self.accelerator, pictures=len(data.train), fresh=checkpoint is None)
        places = self._load(checkpoint) if checkpoint is not None else {}
        self.saved_step = self.trainer.step if checkpoint is not None else None
        self.agreed_every = recipe.monitor.log_every
        self.loader = build_loader(
            data.train,
            recipe,
            device=self.accelerator.device,
            progress=progress and self.accelerator.is_main_process,
            start=self.trainer.step,
            total_steps=self.trainer.total_steps,
            damage=DamageRecord(folder.damaged, len(data.train), recipe.max_damaged),
            rank=self.accelerator.process_index,
            processes=self.accelerator.num_processes,
        )
        self.loader.load_state_dict(places)
        if self.accelerator.is_main_process:
            folder.forget_after(self.trainer.step)
        self.evaluation = OnlineEvaluation(data, recipe.monitor) if recipe.monitor.evaluate_every else None
        self.guard = CollapseGuard(recipe.monitor)
        visible = progress and self.accelerator.is_main_process
        self.progress = Progress(self.trainer.total_steps, self.trainer.step, visible=visible)

    def run(self) -> Path:
        """Train to the end and write the model folder."""
        self.accelerator.init_trackers("logs", config={"recipe": self.folder.recipe.read_text(encoding="utf-8")})
        try:
            with self.progress, Interruption() as interruption, self._device_settings():
                self._train(interruption)
            if self.accelerator.is_main_process:
                export_run(self.folder, self.trainer, self.data, self.evaluation)
            self.accelerator.wait_for_everyone()
        finally:
            self.accelerator.end_training()
        return self.folder.model

    @contextmanager
    def _device_settings(self) -> Iterator[None]:
        """Choose fast kernels, and name the setting to lower where memory runs out."""
        share = -(-self.recipe.batch_size // self.accelerator.num_processes)
        half = max(2, (self.recipe.micro_batch_size or share) // 2)
        advice = (
            f"Set micro_batch_size={half} and resume or begin anew: the gradient stays that of the whole batch, at the "
            "cost of one more forward pass a step. A cache on the device takes memory, too: data.cache=ram."
        )
        with tuned_convolutions(), advising_on_memory(advice):
            yield

    def _train(self, interruption: Interruption) -> None:
        trainer, monitor = self.trainer, self.recipe.monitor
        clock, images = time.perf_counter(), 0
        for micro_batches in saved_first(self.loader, self._save_reached):
            epochs_before = trainer.whole_epochs
            last = trainer.step + 1 == trainer.total_steps
            logged = last or (trainer.step + 1) % monitor.log_every == 0
            loss, scalars = trainer.train_step(micro_batches, watched=logged)
            images += self.recipe.batch_size
            self.progress.advance()
            if logged:
                self._log(loss, scalars, images / (time.perf_counter() - clock))
                clock, images = time.perf_counter(), 0
            if last or trainer.whole_epochs > epochs_before:
                self._end_epoch(loss, last)
                clock, images = time.perf_counter(), 0
            if not last:
                self._stop_if_asked(interruption, loss)

    def _find_checkpoint(self, resume: bool) -> Path | None:
        """The checkpoint to take up, if that is asked for and there is one; the main process's choice."""
        checkpoint = None
        if self.accelerator.is_main_process:
            checkpoint = self.folder.begin(self.recipe, resume=resume)
        if self.accelerator.num_processes > 1:
            from accelerate.utils import broadcast_object_list

            (checkpoint,) = broadcast_object_list([checkpoint])
        return checkpoint

    def _load(self, checkpoint: Path) -> dict[str, Any]:
        """Take up a checkpoint's state; return the part that is the loader's."""
        step, state = load_checkpoint(checkpoint)
        if state["pictures"] != len(self.data.train):
            raise CheckpointError(
                f"{self.folder.root} was begun on {state['pictures']} pictures; {self.data.name} now holds "
                f"{len(self.data.train)}. Resume with the same data, or choose another --output."
            )
        if state.get("pictures_sha256", self.pictures_sha256) != self.pictures_sha256:
            raise CheckpointError(
                f"{self.folder.root} was begun on other pictures than {self.data.name} now holds, though as many: "
                "names, sizes or labels differ. Resume with the same data, or begin a new run from these weights by "
                f"init_from={checkpoint}."
            )
        resume_threads(state.get("threads"))
        with taking_up(checkpoint):
            self.trainer.load_state_dict(step, state["trainer"])
            loaders: list[dict[str, Any]] = state["loaders"]
            # A number of processes that differs is for the loader to judge, by any of the places.
            rank = self.accelerator.process_index
            return loaders[rank if len(loaders) == self.accelerator.num_processes else 0]

    @cached_property
    def pictures_sha256(self) -> str:
        """What the pictures are; checkpoints of before this was kept are taken up without."""
        return fingerprint(self.data.train)

    def _log(self, loss: torch.Tensor, scalars: Scalars, speed: float) -> None:
        on_device = {
            name: value for name, value in {"loss": loss, **scalars}.items() if isinstance(value, torch.Tensor)
        }
        told = torch.stack([value.detach().float() for value in on_device.values()]).tolist()  # one wait for all
        values: dict[str, float] = {**scalars, **dict(zip(on_device, told, strict=True))}  # type: ignore[dict-item]
        self._require_finite(values["loss"])
        if not math.isfinite(values["gradient_norm"]):  # a step that a gradient scaler has left out
            del values["gradient_norm"]
        seconds = self.recipe.batch_size / speed
        own = torch.tensor([values["embedding_std"], seconds], device=self.accelerator.device)
        # The mean, for all to come to the same judgement.
        values["embedding_std"], seconds = self.accelerator.reduce(own, "mean").tolist()
        self.agreed_every = 1 if seconds > _LONG_STEP else self.recipe.monitor.log_every
        steps_left = self.trainer.total_steps - self.trainer.step
        self._record(
            values
            | {
                "images_per_second": speed,
                "hours_left": steps_left * self.recipe.batch_size / speed / 3600,
                "memory_gib": memory_gib(self.accelerator.device),
            }
        )
        if self.guard.observe(values["embedding_std"]):
            raise TrainingError(f"{self.guard.diagnosis(values)} {self._last_good()}")

    def _require_finite(self, loss: float | None) -> None:
        settings, weights = self.recipe.optimizer, self.trainer.learner.trained_parameters().values()
        causes = (
            f"optimizer.learning_rate ({settings.learning_rate}) too high, optimizer.warmup_epochs "
            f"({settings.warmup_epochs}) too short"
        )
        if message := divergence(loss, weights, self.trainer.step, causes):
            raise TrainingError(f"{message} {self._last_good()}")

    def _last_good(self) -> str:
        checkpoints = list_checkpoints(self.folder.checkpoints)
        if not checkpoints:
            return "There is no checkpoint yet: begin anew with other settings."
        return (
            f"The last good checkpoint is {checkpoints[-1]}: begin a new run from its weights, with other settings, by "
            f"init_from={checkpoints[-1]}."
        )

    def _end_epoch(self, loss: torch.Tensor, last: bool) -> None:
        epoch, accuracy = self.trainer.whole_epochs, None
        due = last or epoch % max(1, self.recipe.monitor.evaluate_every) == 0
        if self.evaluation is not None and due and self.accelerator.is_main_process:
            figures = self.evaluation(self.trainer.evaluated_encoder(), self.recipe.workers)
            accuracy = figures.get("knn")
            self._record(figures)
        if last or (epoch % self.recipe.checkpoint_every == 0 and not self.guard.suspicious):
            self._save(loss, accuracy)
        self.accelerator.wait_for_everyone()

    def _stop_if_asked(self, interruption: Interruption, loss: torch.Tensor) -> None:
        """Save and stop if any process was told to; several agree on it whenever they log, or after each long step."""
        received = int(interruption.received or 0)
        if self.accelerator.num_processes > 1:
            if self.trainer.step % self.agreed_every:
                return
            received = int(self.accelerator.gather(torch.tensor([received], device=self.accelerator.device)).max())
        if received:
            what = "All is saved"
            if self.guard.suspicious and self.saved_step is not None:
                what = (
                    f"The embeddings look collapsed, so the state of step {self.saved_step} is the last that is saved"
                )
            elif self.saved_step != self.trainer.step:  # an epoch's end may just have saved it, with its score
                self._save(loss)
            self.accelerator.wait_for_everyone()
            raise TrainingInterruptedError(
                f"Stopped by {signal.Signals(received).name} after step {self.trainer.step} of "
                f"{self.trainer.total_steps}. {what} in {self.folder.root}; go on with --resume.",
                received,
            )

    def _save_reached(self) -> Path | None:
        """Save the state after the last step, where no other process would be waited for, and tell the folder."""
        if self.accelerator.num_processes > 1 or not self.trainer.step or self.guard.suspicious:
            return None
        if self.saved_step != self.trainer.step:
            self._save()
        return self.folder.root

    def _save(self, loss: torch.Tensor | None = None, score: float | None = None) -> None:
        from accelerate.utils import gather_object

        self._require_finite(None if loss is None else float(loss))  # nothing broken is saved
        loaders = gather_object([self.loader.state_dict()])
        if self.accelerator.is_main_process:
            keep = self.recipe.checkpoints_kept
            state = {
                "pictures": len(self.data.train),
                "pictures_sha256": self.pictures_sha256,
                "loaders": loaders,
                "threads": torch.get_num_threads(),
                "trainer": self.trainer.state_dict(),
            }
            save_checkpoint(self.folder.checkpoints, self.trainer.step, state, keep=keep, score=score)
        self.saved_step = self.trainer.step

    def _record(self, values: dict[str, Any]) -> None:
        if self.accelerator.is_main_process:
            self.folder.log({"step": self.trainer.step, "epoch": round(self.trainer.epoch, 4)} | values)
            self.progress.show(values)
        self.accelerator.log(values, step=self.trainer.step)
