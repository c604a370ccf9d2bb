"""What a run changes, step by step: networks, optimisers, kernel scale, averages; and the step that changes them."""

import copy
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sslhsic_transfer._seeds import mix_seed
from sslhsic_transfer.models.encoder import Encoder
from sslhsic_transfer.pretrain.accumulate import two_pass_backward
from sslhsic_transfer.pretrain.averaging import WeightAverage
from sslhsic_transfer.pretrain.initial import initial_weights
from sslhsic_transfer.pretrain.monitors.health import embedding_std, gradient_norm
from sslhsic_transfer.pretrain.networks import Learner
from sslhsic_transfer.pretrain.objectives import OBJECTIVES
from sslhsic_transfer.pretrain.optimizer import build_optimizer, restore, set_learning_rate
from sslhsic_transfer.pretrain.recipe import Recipe
from sslhsic_transfer.pretrain.schedules import learning_rate, target_decay
from sslhsic_transfer.pretrain.views import ColourOperations, View

if TYPE_CHECKING:
    from accelerate import Accelerator

# Tensors stay on their device until they are logged.
Scalars = dict[str, Tensor | float]


class Trainer:
    """The state of a run and its step.

    Args:
        recipe: what to do.
        accelerator: where.
        pictures: how many the data set holds; it makes epochs of steps.
        fresh: whether the run begins here, so that `Recipe.init_from` is to be loaded; else a checkpoint follows.

    Attributes:
        step: steps made.
        total_steps: steps of the run.
        learner: the networks.
    """

    def __init__(self, recipe: Recipe, accelerator: "Accelerator", *, pictures: int, fresh: bool = True) -> None:
        self.recipe = recipe
        self.accelerator = accelerator
        self.pictures = pictures
        self.step = 0
        self.total_steps = recipe.epochs * pictures // recipe.batch_size
        self._colour = ColourOperations(recipe.augmentation, compiled=recipe.compile)
        self._build(fresh)

    @property
    def epoch(self) -> float:
        """Passes over the data so far."""
        return self.step * self.recipe.batch_size / self.pictures

    @property
    def whole_epochs(self) -> int:
        """Complete passes over the data so far."""
        return self.step * self.recipe.batch_size // self.pictures

    def _build(self, fresh: bool) -> None:
        recipe, accelerator = self.recipe, self.accelerator
        torch.manual_seed(mix_seed(recipe.seed))
        encoder = Encoder(recipe.encoder, recipe.encoder_preprocessing, zero_init_residual=recipe.zero_init_residual)
        if recipe.init_from is not None and fresh:
            encoder.load_state_dict(initial_weights(recipe.init_from, recipe.encoder))
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
            optimizers.append(torch.optim.Adam(learned, lr=recipe.loss.scale_learning_rate, fused=True))
        if recipe.compile:
            self.learner.compile_parts()
        self._model, *self._optimizers = accelerator.prepare(self.learner, *optimizers)
        decay = recipe.average_decay
        self._average = None if decay is None else WeightAverage(learner.online.encoder, decay)

    def train_step(self, micro_batches: list[tuple[View, View]], *, watched: bool = False) -> tuple[Tensor, Scalars]:
        """Make one step.

        Args:
            micro_batches: this process's share of the global batch.
            watched: whether to measure gradient and embeddings, too, which takes time.

        Returns:
            The global batch's loss, and named scalars.
        """
        settings = self.recipe.optimizer
        rate = learning_rate(
            self.step,
            peak=self.recipe.peak_learning_rate,
            warmup_steps=round(settings.warmup_epochs * self.pictures / self.recipe.batch_size),
            total_steps=self.total_steps,
        )
        set_learning_rate(self._optimizers[0], rate)
        loss, values = self._backward(micro_batches, watched)
        scalars: Scalars = dict(values)
        if watched:
            scalars["gradient_norm"] = gradient_norm(self.learner.trained_parameters().values(), self._loss_scale())
        self._step_optimizers()
        decay = target_decay(self.step, start=self.recipe.target_decay, total_steps=self.total_steps)
        self.learner.update_target(decay)
        if self._average is not None:
            self._average.update(self.learner.online.encoder)
        self.step += 1
        return loss, scalars | {"learning_rate": rate, "target_decay": decay}

    def _backward(self, micro_batches: list[tuple[View, View]], watched: bool) -> tuple[Tensor, dict[str, Tensor]]:
        accelerator, compare = self.accelerator, partial(self._compare, watched=watched)
        if len(micro_batches) > 1:
            return two_pass_backward(
                self._embed,
                compare,
                micro_batches,
                accelerator.backward,
                networks=self.learner,
                unsynchronised=lambda: accelerator.no_sync(self._model),
            )
        loss, scalars = compare(self._embed(*micro_batches[0]))
        accelerator.backward(loss)
        return loss.detach(), scalars

    def _embed(self, view1: View, view2: View) -> list[Tensor]:
        layout = torch.channels_last if self.recipe.channels_last else torch.contiguous_format
        views = [self._colour(view, self.accelerator.device).to(memory_format=layout) for view in (view1, view2)]
        with self.accelerator.autocast():
            embeddings: list[Tensor] = self._model(*views)
        return embeddings

    def _compare(self, embeddings: list[Tensor], *, watched: bool) -> tuple[Tensor, dict[str, Tensor]]:
        loss, scalars = self.criterion(embeddings)
        return loss, scalars | ({"embedding_std": embedding_std(embeddings[0])} if watched else {})

    def _step_optimizers(self) -> None:
        """One step of each. What Accelerate wraps would let the first change float16's scale before the second."""
        scaler = self.accelerator.scaler
        for optimizer in self._optimizers:
            if scaler is None:
                optimizer.step()
            else:
                scaler.step(optimizer.optimizer)
            optimizer.zero_grad()
        if scaler is not None:
            scaler.update()

    def _loss_scale(self) -> float:
        scaler = self.accelerator.scaler
        return float(scaler.get_scale()) if scaler is not None else 1.0

    def evaluated_encoder(self) -> Encoder:
        """A copy of the online encoder, its weights averaged where the recipe says so."""
        encoder = copy.deepcopy(self.learner.online.encoder)
        if self._average is not None:
            self._average.copy_to(encoder)
        return encoder

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on, but for the data."""
        return {
            "learner": dict(self.learner.state_dict()),
            "criterion": dict(self.criterion.state_dict()),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "average": self._average.state_dict() if self._average else None,
            "scaler": self.accelerator.scaler.state_dict() if self.accelerator.scaler else None,
        }

    def load_state_dict(self, step: int, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.step = step
        self.learner.load_state_dict(state["learner"])
        self.criterion.load_state_dict(state["criterion"])
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            restore(optimizer, saved)
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
