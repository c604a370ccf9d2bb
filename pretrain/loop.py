"""The training loop, on Hugging Face Accelerate."""

import copy
import math
import signal
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

import sslhsic_transfer
from sslhsic_transfer._seeds import mix_seed
from sslhsic_transfer.errors import DataError, TrainingError, TrainingInterruptedError
from sslhsic_transfer.models.encoder import Encoder
from sslhsic_transfer.pretrain.accelerator import build_accelerator
from sslhsic_transfer.pretrain.accumulate import two_pass_backward
from sslhsic_transfer.pretrain.averaging import WeightAverage
from sslhsic_transfer.pretrain.checkpoint import load_checkpoint, save_checkpoint
from sslhsic_transfer.pretrain.damage import DamageRecord
from sslhsic_transfer.pretrain.interruption import Interruption
from sslhsic_transfer.pretrain.loader import build_loader
from sslhsic_transfer.pretrain.monitors import OnlineKNN
from sslhsic_transfer.pretrain.networks import Learner
from sslhsic_transfer.pretrain.objectives import OBJECTIVES
from sslhsic_transfer.pretrain.optimizer import build_optimizer, restore, set_learning_rate
from sslhsic_transfer.pretrain.progress import Progress
from sslhsic_transfer.pretrain.recipe import Recipe
from sslhsic_transfer.pretrain.run_folder import RunFolder
from sslhsic_transfer.pretrain.schedules import learning_rate, target_decay
from sslhsic_transfer.pretrain.sources import PretrainingData, find_data
from sslhsic_transfer.pretrain.views import ColourOperations, View

# Tensors stay on their device until they are logged.
_Scalars = dict[str, torch.Tensor | float]


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
        OutputExistsError, CheckpointError: ``output`` holds a run that cannot be overwritten or taken up.
        TrainingError: the loss is no longer finite.
        TrainingInterruptedError: SIGTERM or SIGINT; the state after the last step is saved.
    """
    found = find_data(data)
    if len(found.train) < recipe.batch_size:
        raise DataError(
            f"{data} holds {len(found.train)} pictures, fewer than a batch of {recipe.batch_size}: "
            f"set batch_size={2 ** int(math.log2(max(2, len(found.train) // 4)))} or less."
        )
    return _Trainer(recipe, found, RunFolder(output), resume=resume, progress=progress).run()


class _Trainer:
    """One run: its state, and the steps that change it."""

    def __init__(
        self, recipe: Recipe, data: PretrainingData, folder: RunFolder, *, resume: bool, progress: bool
    ) -> None:
        self.recipe = recipe
        self.data = data
        self.folder = folder
        self.accelerator = build_accelerator(recipe.precision, recipe.trackers, folder.root)
        self.step = 0
        self.total_steps = recipe.epochs * len(data.train) // recipe.batch_size
        self.colour = ColourOperations(recipe.augmentation)
        self._build()
        self._begin(resume)
        self.progress = Progress(self.total_steps, self.step, visible=progress and self.accelerator.is_main_process)

    def run(self) -> Path:
        """Train to the end and write the model folder."""
        recipe, accelerator = self.recipe, self.accelerator
        accelerator.init_trackers("logs", config={"recipe": self.folder.recipe.read_text(encoding="utf-8")})
        loader = build_loader(
            self.data.train,
            recipe,
            start=self.step,
            total_steps=self.total_steps,
            damage=DamageRecord(self.folder.damaged, len(self.data.train), recipe.max_damaged),
            rank=accelerator.process_index,
            processes=accelerator.num_processes,
        )
        clock, images = time.perf_counter(), 0
        with self.progress, Interruption() as interruption:
            for micro_batches in loader:
                epochs_before = self._epochs_done()
                loss, scalars = self._train_step(micro_batches)
                images += recipe.batch_size
                self.progress.advance()
                last = self.step == self.total_steps
                if last or self.step % recipe.monitor.log_every == 0:
                    self._log(loss, scalars, images / (time.perf_counter() - clock))
                    clock, images = time.perf_counter(), 0
                if last or self._epochs_done() > epochs_before:
                    self._end_epoch(loss, last)
                    clock, images = time.perf_counter(), 0
                if not last:
                    self._stop_if_asked(interruption, loss)
        model = self._export()
        accelerator.end_training()
        return model

    def _build(self) -> None:
        recipe, accelerator = self.recipe, self.accelerator
        torch.manual_seed(mix_seed(recipe.seed))
        encoder = Encoder(recipe.encoder, recipe.encoder_preprocessing, zero_init_residual=recipe.zero_init_residual)
        learner: nn.Module = Learner(
            encoder,
            hidden_dim=recipe.head.hidden_dim,
            embedding_dim=recipe.head.embedding_dim,
            uses_target=OBJECTIVES[recipe.objective].uses_target,
        )
        if recipe.channels_last:
            learner = learner.to(memory_format=torch.channels_last)
        if accelerator.num_processes > 1 and accelerator.device.type == "cuda":
            learner = nn.SyncBatchNorm.convert_sync_batchnorm(learner)
        assert isinstance(learner, Learner)
        self.learner = learner.to(accelerator.device).train()
        self.criterion = OBJECTIVES[recipe.objective].build(recipe).to(accelerator.device)
        optimizers = [build_optimizer(recipe.optimizer, learner.trained_parameters())]
        if learned := [parameter for parameter in self.criterion.parameters() if parameter.requires_grad]:
            optimizers.append(torch.optim.Adam(learned, lr=recipe.loss.scale_learning_rate))
        self.model, *self.optimizers = accelerator.prepare(self.learner, *optimizers)
        decay = recipe.average_decay
        self.average = None if decay is None else WeightAverage(learner.online.encoder, decay)
        self.knn = OnlineKNN(self.data, recipe.monitor) if self.data.labelled and recipe.monitor.knn_every else None

    def _begin(self, resume: bool) -> None:
        """Take up the latest checkpoint, if that is asked for and there is one."""
        checkpoint = None
        if self.accelerator.is_main_process:
            checkpoint = self.folder.begin(self.recipe, resume=resume)
        if self.accelerator.num_processes > 1:
            from accelerate.utils import broadcast_object_list

            (checkpoint,) = broadcast_object_list([checkpoint])
        if checkpoint is not None:
            self.step, state = load_checkpoint(checkpoint)
            self._load_state(state)
        if self.accelerator.is_main_process:
            self.folder.forget_after(self.step)

    def _train_step(self, micro_batches: list[tuple[View, View]]) -> tuple[torch.Tensor, _Scalars]:
        settings = self.recipe.optimizer
        rate = learning_rate(
            self.step,
            peak=self.recipe.peak_learning_rate,
            warmup_steps=round(settings.warmup_epochs * len(self.data.train) / self.recipe.batch_size),
            total_steps=self.total_steps,
        )
        set_learning_rate(self.optimizers[0], rate)
        loss, scalars = self._backward(micro_batches)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        decay = target_decay(self.step, start=self.recipe.target_decay, total_steps=self.total_steps)
        self.learner.update_target(decay)
        if self.average is not None:
            self.average.update(self.learner.online.encoder)
        self.step += 1
        return loss, scalars | {"learning_rate": rate, "target_decay": decay}

    def _backward(self, micro_batches: list[tuple[View, View]]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        accelerator = self.accelerator
        if len(micro_batches) > 1:
            return two_pass_backward(
                self._embed,
                self.criterion,
                micro_batches,
                accelerator.backward,
                networks=self.learner,
                unsynchronised=lambda: accelerator.no_sync(self.model),
            )
        loss, scalars = self.criterion(self._embed(*micro_batches[0]))
        accelerator.backward(loss)
        return loss.detach(), scalars

    def _embed(self, view1: View, view2: View) -> list[torch.Tensor]:
        layout = torch.channels_last if self.recipe.channels_last else torch.contiguous_format
        views = [self.colour(view, self.accelerator.device).to(memory_format=layout) for view in (view1, view2)]
        with self.accelerator.autocast():
            embeddings: list[torch.Tensor] = self.model(*views)
        return embeddings

    def _log(self, loss: torch.Tensor, scalars: _Scalars, speed: float) -> None:
        values = {"loss": float(loss)} | {name: float(value) for name, value in scalars.items()}
        self._require_finite(values["loss"])
        self._record(values | {"images_per_second": speed})

    def _require_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise TrainingError(
                f"The loss is {loss} at step {self.step}. Lower optimizer.learning_rate "
                f"({self.recipe.optimizer.learning_rate}) or lengthen the warm-up; what was saved before is in "
                f"{self.folder.checkpoints}."
            )

    def _end_epoch(self, loss: torch.Tensor, last: bool) -> None:
        epoch = self._epochs_done()
        accuracy = None
        due = last or epoch % max(1, self.recipe.monitor.knn_every) == 0
        if self.knn is not None and due and self.accelerator.is_main_process:
            accuracy = self.knn(self._evaluated_encoder(), self.recipe.workers)
            self._record({"knn": accuracy})
        if last or epoch % self.recipe.checkpoint_every == 0:
            self._save(loss, accuracy)
        self.accelerator.wait_for_everyone()

    def _stop_if_asked(self, interruption: Interruption, loss: torch.Tensor) -> None:
        """Save and stop if any process was told to; several processes agree on it whenever they log."""
        received = int(interruption.received or 0)
        if self.accelerator.num_processes > 1:
            if self.step % self.recipe.monitor.log_every:
                return
            received = int(self.accelerator.gather(torch.tensor([received], device=self.accelerator.device)).max())
        if received:
            self._save(loss)
            self.accelerator.wait_for_everyone()
            raise TrainingInterruptedError(
                f"Stopped by {signal.Signals(received).name} after step {self.step} of {self.total_steps}. All is "
                f"saved in {self.folder.root}; go on with --resume.",
                received,
            )

    def _save(self, loss: torch.Tensor, score: float | None = None) -> None:
        self._require_finite(float(loss))  # nothing broken is saved
        if self.accelerator.is_main_process:
            keep = self.recipe.checkpoints_kept
            save_checkpoint(self.folder.checkpoints, self.step, self._state(), keep=keep, score=score)

    def _record(self, values: dict[str, float]) -> None:
        if self.accelerator.is_main_process:
            epoch = self.step * self.recipe.batch_size / len(self.data.train)
            self.folder.log({"step": self.step, "epoch": round(epoch, 4)} | values)
            self.progress.show(values)
        self.accelerator.log(values, step=self.step)

    def _evaluated_encoder(self) -> Encoder:
        """A copy of the online encoder, its weights averaged where the recipe says so."""
        encoder = copy.deepcopy(self.learner.online.encoder)
        if self.average is not None:
            self.average.copy_to(encoder)
        return encoder

    def _export(self) -> Path:
        if self.accelerator.is_main_process:
            encoder = self._evaluated_encoder().to(memory_format=torch.contiguous_format)
            encoder.metadata = {
                "objective": self.recipe.objective,
                "data": self.data.name,
                "pictures": len(self.data.train),
                "epochs": self.recipe.epochs,
                "steps": self.total_steps,
                "processes": self.accelerator.num_processes,
                "recipe": self.recipe.model_dump(mode="json"),
                "library_version": sslhsic_transfer.__version__,
            }
            encoder.save_pretrained(self.folder.model, overwrite=True)
        self.accelerator.wait_for_everyone()
        return self.folder.model

    def _state(self) -> dict[str, Any]:
        return {
            "learner": dict(self.learner.state_dict()),
            "criterion": dict(self.criterion.state_dict()),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "average": self.average.state_dict() if self.average else None,
            "scaler": self.accelerator.scaler.state_dict() if self.accelerator.scaler else None,
        }

    def _load_state(self, state: dict[str, Any]) -> None:
        self.learner.load_state_dict(state["learner"])
        self.criterion.load_state_dict(state["criterion"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            restore(optimizer, saved)
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])

    def _epochs_done(self) -> int:
        return self.step * self.recipe.batch_size // len(self.data.train)
