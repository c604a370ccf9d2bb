"""The trainable state of a run (networks, optimizers, kernel scale, averages) and the training step."""

import copy
import importlib.util
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sslhsic_transfer._seeds import mix_seed
from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.hsic.features import Features, rebuilt, tensors_of
from sslhsic_transfer.hsic.loss import SSLHSICLoss
from sslhsic_transfer.hub.encoder import Encoder
from sslhsic_transfer.models.config import family_of
from sslhsic_transfer.pretrain.accumulate import two_pass_backward
from sslhsic_transfer.pretrain.averaging import WeightAverage
from sslhsic_transfer.pretrain.graphs import CudaRecorder, RecordedStep
from sslhsic_transfer.pretrain.initial import initial_state, initial_weights
from sslhsic_transfer.pretrain.monitors.health import embedding_std, gradient_norm
from sslhsic_transfer.pretrain.networks import Learner
from sslhsic_transfer.pretrain.objectives import OBJECTIVES
from sslhsic_transfer.pretrain.recipe import Recipe
from sslhsic_transfer.pretrain.schedules import target_decay, warmup_steps
from sslhsic_transfer.pretrain.views import ColorOperations, View, packed
from sslhsic_transfer.training.optimizer import build_optimizer, restore, set_learning_rate
from sslhsic_transfer.training.schedules import learning_rate

if TYPE_CHECKING:
    from accelerate import Accelerator

# Tensors stay on their device until they are logged.
Scalars = dict[str, Tensor | float]


class Trainer:
    """The state of a run and its step.

    Args:
        recipe: the run's settings.
        accelerator: the device and processes to train on.
        pictures: number of pictures in the data set, which converts steps to epochs.
        fresh: whether to load `Recipe.init_from`; False if a checkpoint will be loaded.

    Attributes:
        step: number of steps made.
        total_steps: number of steps of the run.
        learner: the networks.
    """

    def __init__(self, recipe: Recipe, accelerator: "Accelerator", *, pictures: int, fresh: bool = True) -> None:
        self.recipe = recipe
        self.accelerator = accelerator
        self.pictures = pictures
        self.step = 0
        self.total_steps = recipe.steps or recipe.epochs * pictures // recipe.batch_size
        self._build(fresh)
        self._recorded = self._recorded_step()
        self._draws: tuple[Features, ...] = ()  # of the recorded step
        fused = recipe.compile or (self._recorded is not None and importlib.util.find_spec("triton") is not None)
        self._color = ColorOperations(recipe.augmentation, compiled=fused)

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
        residual = family_of(recipe.encoder.architecture).resnet_options and recipe.zero_init_residual
        encoder = Encoder(recipe.encoder, recipe.encoder_preprocessing, zero_init_residual=residual)
        if recipe.init_from is not None and recipe.init_parts == "encoder" and fresh:
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
        settings = recipe.optimizer
        optimizers = [
            build_optimizer(
                settings.name,
                learner.trained_parameters(),
                weight_decay=settings.weight_decay,
                momentum=settings.momentum,
                trust_coefficient=settings.trust_coefficient,
            )
        ]
        if learned := [parameter for parameter in self.criterion.parameters() if parameter.requires_grad]:
            optimizers.append(torch.optim.Adam(learned, lr=recipe.loss.scale_learning_rate, fused=True))
        if recipe.compile:
            self.learner.compile_parts()
        self._model, *self._optimizers = accelerator.prepare(self.learner, *optimizers)
        decay = recipe.average_decay
        self._average = None if decay is None else WeightAverage(learner.online.encoder, decay)
        if recipe.init_from is not None and recipe.init_parts == "all" and fresh:
            initial_state(recipe.init_from, recipe.encoder).fill(self.learner, self.criterion, self._average)

    def train_step(self, micro_batches: list[tuple[View, View]], *, watched: bool = False) -> tuple[Tensor, Scalars]:
        """Make one step.

        Args:
            micro_batches: this process's share of the global batch.
            watched: whether to also measure gradient and embeddings, which takes time.

        Returns:
            The global batch's loss, and named scalars.
        """
        settings = self.recipe.optimizer
        rate = learning_rate(
            self.step,
            peak=self.recipe.peak_learning_rate,
            warmup_steps=warmup_steps(
                settings.warmup_epochs, pictures=self.pictures, batch_size=self.recipe.batch_size
            ),
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
        if self._recorded is not None:
            return self._replay(*micro_batches[0], watched=watched)
        if len(micro_batches) > 1:
            return two_pass_backward(
                self._embed,
                compare,
                micro_batches,
                accelerator.backward,
                networks=self.learner,
                unsynchronized=lambda: accelerator.no_sync(self._model),
            )
        loss, scalars = compare(self._embed(*micro_batches[0]))
        accelerator.backward(loss)
        return loss.detach(), scalars

    def _embed(self, view1: View, view2: View) -> list[Tensor]:
        return self._forward([self._color(view, self.accelerator.device) for view in (view1, view2)])

    def _forward(self, views: list[Tensor]) -> list[Tensor]:
        layout = torch.channels_last if self.recipe.channels_last else torch.contiguous_format
        with self.accelerator.autocast():
            embeddings: list[Tensor] = self._model(*(view.to(memory_format=layout) for view in views))
        return embeddings

    def _recorded_step(self) -> RecordedStep | None:
        """Make the step a CUDA graph if the recipe asks for it and it is possible."""
        wanted, obstacle = self.recipe.cuda_graphs, self._obstacle_to_graphs()
        if wanted is True and obstacle is not None:
            raise ConfigError(f"Got cuda_graphs=true, but {obstacle}; expected auto or false.")
        # These have not been tried together with graphs on a GPU.
        deterministic = torch.are_deterministic_algorithms_enabled()
        untried = self.recipe.compile or self.accelerator.scaler is not None or deterministic
        if wanted is False or obstacle is not None or (wanted == "auto" and untried):
            return None
        return RecordedStep(self._make_gradients, [self.learner, self.criterion], CudaRecorder)

    def _obstacle_to_graphs(self) -> str | None:
        if self.accelerator.device.type != "cuda":
            return f"training runs on {self.accelerator.device}"
        if self.accelerator.num_processes > 1:
            return f"there are {self.accelerator.num_processes} processes"
        if (self.recipe.micro_batch_size or self.recipe.batch_size) < self.recipe.batch_size:
            return "a step has several micro-batches"
        if not isinstance(self.criterion, SSLHSICLoss):
            return f"the loss of {self.recipe.objective} has not been tried as one"
        return None

    def _replay(self, view1: View, view2: View, *, watched: bool) -> tuple[Tensor, dict[str, Tensor]]:
        assert self._recorded is not None
        assert isinstance(self.criterion, SSLHSICLoss)
        device = self.accelerator.device
        pictures = [part for view in (view1, view2) for part in (view.pixels, *packed(view.colors))]
        like = self._like_embeddings()
        self._draws = self.criterion.draw(like)
        inputs = (part.to(device, non_blocking=True) for part in (*pictures, *tensors_of(self._draws)))
        loss, scalars, embeddings = self._recorded(*inputs)
        kept = {name: value.clone() for name, value in scalars.items()}
        embeddings = [each.requires_grad_(one.requires_grad) for each, one in zip(embeddings, like, strict=True)]
        return loss.clone(), self._watch(kept, embeddings, watched)

    def _make_gradients(self, *inputs: Tensor) -> tuple[Tensor, dict[str, Tensor], list[Tensor]]:
        """Run the networks' forward and backward pass on the inputs from `_replay`; also return the embeddings."""
        views, features = (inputs[:3], inputs[3:6]), inputs[6:]
        embeddings = self._forward([self._color.program(*view) for view in views])
        loss, scalars = self.criterion(embeddings, rebuilt(self._draws, features))
        self.accelerator.backward(loss)
        return loss.detach(), scalars, [each.detach() for each in embeddings]

    def _like_embeddings(self) -> list[Tensor]:
        """Make placeholders with the shapes and ``requires_grad`` of a step's embeddings, which take no memory."""
        nothing = torch.zeros((), device=self.accelerator.device)
        shape = (self.recipe.batch_size, self.recipe.head.embedding_dim)
        trained = (True, True, False, False) if OBJECTIVES[self.recipe.objective].uses_target else (True, True)
        return [nothing.expand(shape).detach().requires_grad_(wanted) for wanted in trained]

    def _compare(self, embeddings: list[Tensor], *, watched: bool) -> tuple[Tensor, dict[str, Tensor]]:
        loss, scalars = self.criterion(embeddings)
        return loss, self._watch(scalars, embeddings, watched)

    def _watch(self, scalars: dict[str, Tensor], embeddings: list[Tensor], watched: bool) -> dict[str, Tensor]:
        if not watched:
            return scalars
        figures = {"embedding_std": embedding_std(embeddings[0])}
        if isinstance(self.criterion, SSLHSICLoss):
            figures["gradient_noise"] = self.criterion.gradient_noise(embeddings)
        return scalars | figures

    def _step_optimizers(self) -> None:
        """Make one step of each optimizer.

        With Accelerate's wrapped optimizers, the first would change float16's loss scale before the second one's step.
        """
        scaler = self.accelerator.scaler
        for optimizer in self._optimizers:
            if scaler is None:
                optimizer.step()
            else:
                scaler.step(optimizer.optimizer)
            if self._recorded is None:  # a graph's gradients stay in its memory
                optimizer.zero_grad()
        if scaler is not None:
            scaler.update()

    def _loss_scale(self) -> float:
        scaler = self.accelerator.scaler
        return float(scaler.get_scale()) if scaler is not None else 1.0

    def evaluated_encoder(self) -> Encoder:
        """Copy the online encoder, with averaged weights if the recipe says so."""
        encoder = copy.deepcopy(self.learner.online.encoder)
        if self._average is not None:
            self._average.copy_to(encoder)
        return encoder

    def state_dict(self) -> dict[str, Any]:
        """Return all state that the next step depends on, except the data."""
        return {
            "learner": dict(self.learner.state_dict()),
            "criterion": dict(self.criterion.state_dict()),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "average": self._average.state_dict() if self._average else None,
            "scaler": self.accelerator.scaler.state_dict() if self.accelerator.scaler else None,
        }

    def load_state_dict(self, step: int, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self.step = step
        self.learner.load_state_dict(state["learner"])
        self.criterion.load_state_dict(state["criterion"])
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            restore(optimizer, saved)
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
