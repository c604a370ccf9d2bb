"""What the ResNets of other libraries can be: torchvision's, of its depths and its width."""

from sslhsic_transfer.models.config import EncoderConfig

DEPTHS = {f"resnet{depth}": depth for depth in (18, 34, 50, 101, 152)}


def differences_from_plain(config: EncoderConfig, library: str) -> list[str]:
    """All that keeps an encoder's network from being another library's ResNet, a line each.

    Args:
        config: the encoder's network.
        library: whose ResNet, for the lines.
    """
    return [
        f"{name}: got {found!r}; {library}'s ResNet has {expected}"
        for name, found, expected, fits in (
            ("architecture", config.architecture, ", ".join(DEPTHS), config.architecture in DEPTHS),
            ("stem", config.stem, "the stem 'imagenet'", config.stem == "imagenet"),
            ("padding", config.padding, "the padding 'torch'", config.padding == "torch"),
            ("width", config.width, "width 1", config.width == 1),
        )
        if not fits
    ]
