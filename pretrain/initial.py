"""Initial weights other than random ones, for the encoder or for all networks."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sslhsic_transfer.errors import ConfigError, WeightsError
from sslhsic_transfer.hub.convert.from_torchvision import torchvision_state, torchvision_weights
from sslhsic_transfer.hub.encoder import from_pretrained, load_folder
from sslhsic_transfer.hub.pretraining_file import PRETRAINING_NAME, load_pretraining
from sslhsic_transfer.hub.tensor_checks import check_fit
from sslhsic_transfer.models.config import EncoderConfig
from sslhsic_transfer.pretrain.averaging import WeightAverage
from sslhsic_transfer.pretrain.networks import ENCODER
from sslhsic_transfer.pretrain.recipe_file import load_recipe
from sslhsic_transfer.training.checkpoint import is_checkpoint, load_checkpoint

_TORCHVISION = "torchvision/"


def initial_weights(source: str, config: EncoderConfig) -> dict[str, torch.Tensor]:
    """Read the weights that a recipe's ``init_from`` names.

    Args:
        source: anything that `from_pretrained` takes; a checkpoint of a run, ``RUN/checkpoints/step-…``; or
            ``torchvision/NAME`` with the name of weights that torchvision has for the architecture, such as
            ``torchvision/IMAGENET1K_V1``, which torchvision downloads unless its cache (TORCH_HOME) holds them.
        config: the encoder that they are for.

    Returns:
        A state dict of the encoder.

    Raises:
        ConfigError: the weights are those of another network.
        ModelNotFoundError: there are no such weights, or they cannot be downloaded.
        CheckpointError: the checkpoint is damaged.
    """
    if source.startswith(_TORCHVISION):
        return _from_torchvision(source.removeprefix(_TORCHVISION), config)
    if is_checkpoint(Path(source)):
        found, state = _from_checkpoint(Path(source))
    else:
        encoder = from_pretrained(source)
        found, state = encoder.config, dict(encoder.state_dict())
    _require_same(found, config, source)
    return state


@dataclass(frozen=True)
class InitialState:
    """Initial weights of all networks of a run.

    Attributes:
        source: the checkpoint or folder that they come from.
        learner: a state dict of the networks.
        kernel_scale: a scalar, or None if the objective has none.
        average: state of the weights' average, or None if there is none.
    """

    source: str
    learner: Mapping[str, torch.Tensor]
    kernel_scale: torch.Tensor | None
    average: Mapping[str, Any] | None

    def fill(self, learner: nn.Module, criterion: nn.Module, average: WeightAverage | None) -> None:
        """Load the weights into a run's networks; kernel scale and average only where the run has them.

        Args:
            learner: the networks.
            criterion: the loss, whose ``kernel_scale`` is set.
            average: the weights' average; it restarts at the online weights where the source has none.

        Raises:
            ConfigError: the networks differ, for example in the width of the heads or in the objective.
        """
        try:
            check_fit(learner, self.learner, f"init_from={self.source}", called="the recipe's networks")
        except WeightsError as error:
            raise ConfigError(
                f"{error}\nSet head.hidden_dim, head.embedding_dim and objective to those of the weights, or "
                "init_parts=encoder."
            ) from error
        learner.load_state_dict(dict(self.learner))
        scale = getattr(criterion, "kernel_scale", None)
        if scale is not None and self.kernel_scale is not None:
            scale.data.copy_(self.kernel_scale)
        if average is not None:
            average.restart(learner.get_submodule(ENCODER))
            if self.average is not None:
                average.load_state_dict(self.average)


def initial_state(source: str, config: EncoderConfig) -> InitialState:
    """Read all networks that a recipe's ``init_from`` names, for ``init_parts: all``.

    Args:
        source: a checkpoint of a run, ``RUN/checkpoints/step-…``, or a folder that
            ``sslhsic convert haiku|byol … --with-heads`` made.
        config: the encoder that they are for.

    Raises:
        ConfigError: the encoder is another, or the source holds an encoder only.
        ModelNotFoundError, WeightsError, FingerprintError: the folder cannot be used.
        CheckpointError: the checkpoint is damaged.
    """
    path = Path(source)
    if is_checkpoint(path):
        encoder, state = _trainer_state(path)
        _require_same(encoder, config, source)
        return InitialState(source, state["learner"], state["criterion"].get("kernel_scale"), state["average"])
    if not (path / PRETRAINING_NAME).is_file():
        raise ConfigError(
            f"init_parts=all, but init_from={source} has no {PRETRAINING_NAME} and is no run's checkpoint. Make such a "
            "folder by sslhsic convert haiku CHECKPOINT --output DIR --with-heads, or set init_parts=encoder."
        )
    model, kept = load_folder(path), load_pretraining(path)
    _require_same(model.config, config, source)
    average = {"count": kept.averaged, "values": dict(model.named_parameters())} if kept.averaged else None
    return InitialState(source, kept.learner, kept.kernel_scale, average)


def _require_same(found: EncoderConfig, config: EncoderConfig, source: str) -> None:
    if found != config:
        raise ConfigError(
            f"init_from={source} holds {_described(found)}; the recipe's encoder is {_described(config)}. "
            "Set the recipe's encoder to that of the weights, or choose other weights."
        )


def _from_checkpoint(path: Path) -> tuple[EncoderConfig, dict[str, torch.Tensor]]:
    """Read the online encoder, with averaged weights where the run averages them."""
    encoder, state = _trainer_state(path)
    prefix = f"{ENCODER}."
    learner, average = state["learner"], state["average"]
    weights = {name.removeprefix(prefix): value for name, value in learner.items() if name.startswith(prefix)}
    return encoder, weights | (average["values"] if average else {})


def _trainer_state(path: Path) -> tuple[EncoderConfig, dict[str, Any]]:
    """Read the encoder's configuration and the trainer's state of a checkpoint."""
    _, state = load_checkpoint(path)
    trained = state.get("trainer")
    if not isinstance(trained, dict) or not {"learner", "criterion", "average"} <= trained.keys():
        raise ConfigError(
            f"init_from={path} is no checkpoint of a pretraining run. Of a fine-tuned model, name the encoder that it "
            "began with."
        )
    recipe = path.resolve().parent.parent / "recipe.yaml"
    if not recipe.is_file():
        raise ConfigError(f"init_from={path}: there is no {recipe}; expected a checkpoint in its run's folder.")
    return load_recipe(recipe).encoder, trained


def _from_torchvision(name: str, config: EncoderConfig) -> dict[str, torch.Tensor]:
    if config != EncoderConfig(architecture=config.architecture):
        raise ConfigError(
            f"torchvision has weights for plain {config.architecture} only; the recipe's encoder is "
            f"{_described(config)}."
        )
    state = torchvision_state(config.architecture, torchvision_weights(config.architecture, name))
    return {key: value for key, value in state.items() if not key.startswith("fc.")}


def _described(config: EncoderConfig) -> str:
    return f"{config.architecture} (stem {config.stem}, padding {config.padding}, width {config.width})"
