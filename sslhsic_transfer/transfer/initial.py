"""The encoder that a fine-tuning starts from: pretrained, random, supervised, or another model's."""

from pathlib import Path

from sslhsic_transfer._seeds import mix_seed
from sslhsic_transfer.errors import ConfigError, UnknownArchitectureError
from sslhsic_transfer.hub.encoder import Encoder, create_encoder, from_pretrained
from sslhsic_transfer.models.config import EncoderConfig, resolve_architecture
from sslhsic_transfer.transfer.tasks.augmentation import seeded


def initial_encoder(model: str | Path, init: str, seed: int) -> tuple[Encoder, str, int]:
    """Load or build the encoder that a fine-tuning starts from.

    Args:
        model: name or path for `from_pretrained`; with ``init="random"`` also an architecture.
        init: "pretrained" for the model's own weights, "random", "supervised" for torchvision's ImageNet weights, or a
            name or path for `from_pretrained`.
        seed: seed of random weights.

    Returns:
        The encoder, the name of its weights, and the side of the model's pictures in pixels.

    Raises:
        ConfigError: the weights are those of another network than the model.
        ModelNotFoundError, WeightsError: as for `from_pretrained`.
    """
    if init == "random" and not Path(model).exists() and _is_architecture(str(model)):
        with seeded(mix_seed(seed)):
            untrained = create_encoder(str(model))
        return untrained, f"random {model}", untrained.preprocessing.crop
    encoder = from_pretrained(model)
    other, name = encoder, str(model)
    if init == "random":
        with seeded(mix_seed(seed)):
            other, name = Encoder(encoder.config, encoder.preprocessing), f"random {encoder.config.architecture}"
    elif init == "supervised":
        if encoder.config != EncoderConfig(architecture=encoder.config.architecture):
            raise ConfigError(f"torchvision has weights of plain networks only; the model is {encoder.config}.")
        other = Encoder.from_torchvision(encoder.config.architecture, weights="IMAGENET1K_V1")
        name = f"supervised {encoder.config.architecture}"
    elif init != "pretrained":
        other, name = from_pretrained(init), init
    if other.config != encoder.config:
        raise ConfigError(
            f"init={init} is a {other.config.architecture} of {other.config}; the model is {encoder.config}. "
            "Choose weights of the same network, or name them as the model."
        )
    return other, name, encoder.preprocessing.crop


def _is_architecture(name: str) -> bool:
    try:
        resolve_architecture(name)
    except UnknownArchitectureError:
        return False
    return True
