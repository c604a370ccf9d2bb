"""An encoder for mmsegmentation without this library: the weights and the config of mmseg's own ResNet.

Nothing of mmsegmentation is imported.
"""

from pathlib import Path

import torch
from torch import Tensor

from sslhsic_transfer._files import atomic_path, write_text
from sslhsic_transfer.errors import ConfigError, OutputExistsError
from sslhsic_transfer.models.encoder import Encoder

_DEPTHS = {f"resnet{depth}": depth for depth in (18, 34, 50, 101, 152)}


def to_mmseg(encoder: Encoder) -> dict[str, Tensor]:
    """The weights of mmseg's ``ResNet(depth=…, deep_stem=False, style="pytorch")`` that gives the encoder's maps.

    Args:
        encoder: what is converted; it shares no memory with the result.

    Returns:
        Name -> tensor on the CPU; the names are torchvision's.

    Raises:
        ConfigError: a network that mmseg's ResNet cannot be; all that stands in the way is listed.
    """
    config = encoder.config
    problems = [
        f"{name}: got {found!r}; mmseg's ResNet has {expected}"
        for name, found, expected, fits in (
            ("architecture", config.architecture, ", ".join(_DEPTHS), config.architecture in _DEPTHS),
            ("stem", config.stem, "the stem 'imagenet'", config.stem == "imagenet"),
            ("padding", config.padding, "the padding 'torch'", config.padding == "torch"),
            ("width", config.width, "width 1", config.width == 1),
        )
        if not fits
    ]
    if problems:
        advice = "Use the backbone SSLHSICEncoder of sslhsic_transfer.adapters.mmseg, which can be all of this."
        raise ConfigError("\n".join(["This encoder cannot become mmseg's ResNet:", *problems, advice]))
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in encoder.state_dict().items()}


def mmseg_config(encoder: Encoder, checkpoint: str | Path) -> str:
    """The part of an mmseg config that says backbone and preprocessing, as Python, to stand below a ``_base_``.

    Args:
        encoder: what was converted by `to_mmseg`.
        checkpoint: the file of its weights.
    """
    numbers = encoder.preprocessing
    mean, std = ([round(255 * value, 4) for value in triple] for triple in (numbers.mean, numbers.std))
    return f"""\
model = dict(
    data_preprocessor=dict(type="SegDataPreProcessor", mean={mean}, std={std}, bgr_to_rgb=True),
    pretrained=None,
    backbone=dict(
        type="ResNet",
        depth={_DEPTHS[encoder.config.architecture]},
        style="pytorch",
        init_cfg=dict(type="Pretrained", checkpoint={str(checkpoint)!r}),
    ),
)
"""


def save_mmseg(encoder: Encoder, output: str | Path, *, overwrite: bool = False) -> Path:
    """Write the weights as a .pth file, and beside it, with the ending .py, the config that loads them.

    Args:
        encoder: what is converted.
        output: the file of the weights.
        overwrite: whether files that are there may be replaced.

    Returns:
        The config's path.

    Raises:
        ConfigError: as `to_mmseg`, or the name does not end in .pth.
        OutputExistsError: one of the files is there.
    """
    output = Path(output)
    if output.suffix != ".pth":
        raise ConfigError(f"Got the output {output}; expected a name that ends in .pth.")
    state, config = to_mmseg(encoder), output.with_suffix(".py")
    if not overwrite and (there := [str(path) for path in (output, config) if path.exists()]):
        raise OutputExistsError(f"{' and '.join(there)} already exists: choose another name, or overwrite it.")
    with atomic_path(output) as temporary:
        torch.save({"state_dict": state, "meta": {"source": encoder.name_or_path}}, temporary)
    write_text(config, mmseg_config(encoder, output.resolve()))
    return config
