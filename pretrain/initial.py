"""Weights to start from, instead of random ones."""

from pathlib import Path

import torch

from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.hub.convert.from_torchvision import torchvision_state, torchvision_weights
from sslhsic_transfer.hub.loading import from_pretrained
from sslhsic_transfer.models.config import EncoderConfig
from sslhsic_transfer.pretrain.checkpoint import is_checkpoint, load_checkpoint
from sslhsic_transfer.pretrain.networks import ENCODER
from sslhsic_transfer.pretrain.recipe_file import load_recipe

_TORCHVISION = "torchvision/"


def initial_weights(source: str, config: EncoderConfig) -> dict[str, torch.Tensor]:
    """Read the weights that a recipe's ``init_from`` names.

    Args:
        source: anything that `from_pretrained` takes; a checkpoint of a run, ``RUN/checkpoints/step-…``; or
            ``torchvision/NAME`` with the name of weights that torchvision has for the architecture, such as
            ``torchvision/IMAGENET1K_V1``, which torchvision downloads when its cache (TORCH_HOME) has none.
        config: the network that they are for.

    Returns:
        A state dict of the encoder.

    Raises:
        ConfigError: weights of another network.
        ModelNotFoundError: no such weights, or they cannot be downloaded.
        CheckpointError: a damaged checkpoint.
    """
    if source.startswith(_TORCHVISION):
        return _from_torchvision(source.removeprefix(_TORCHVISION), config)
    if is_checkpoint(Path(source)):
        found, state = _from_checkpoint(Path(source))
    else:
        encoder = from_pretrained(source)
        found, state = encoder.config, dict(encoder.state_dict())
    if found != config:
        raise ConfigError(
            f"init_from={source} holds {_described(found)}; the recipe's encoder is {_described(config)}. "
            "Set the recipe's encoder to that of the weights, or choose other weights."
        )
    return state


def _from_checkpoint(path: Path) -> tuple[EncoderConfig, dict[str, torch.Tensor]]:
    """The online encoder, its weights averaged where the run averages them."""
    recipe = load_recipe(path.resolve().parents[1] / "recipe.yaml")
    _, state = load_checkpoint(path)
    prefix = f"{ENCODER}."
    learner, average = state["trainer"]["learner"], state["trainer"]["average"]
    weights = {name.removeprefix(prefix): value for name, value in learner.items() if name.startswith(prefix)}
    return recipe.encoder, weights | (average["values"] if average else {})


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
