"""Networks that other libraries' ResNets can compute: torchvision's depths at width 1."""

from sslhsic_transfer.models.config import EncoderConfig

DEPTHS = {f"resnet{depth}": depth for depth in (18, 34, 50, 101, 152)}


def differences_from_plain(config: EncoderConfig, library: str) -> list[str]:
    """Return one line for each difference between an encoder's network and another library's ResNet.

    Args:
        config: the encoder's network.
        library: the library's name, for the lines.
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
