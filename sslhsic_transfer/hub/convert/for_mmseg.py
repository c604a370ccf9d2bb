"""Export of an encoder to mmsegmentation's own ResNet: weights and config, usable without this library.

Nothing of mmsegmentation is imported.
"""

from pathlib import Path

import torch
from torch import Tensor

from sslhsic_transfer._files import atomic_path, write_text
from sslhsic_transfer.errors import ConfigError, OutputExistsError
from sslhsic_transfer.hub.convert.plain_resnet import DEPTHS, differences_from_plain
from sslhsic_transfer.hub.encoder import Encoder, as_encoder


def to_mmseg(encoder: Encoder | str | Path) -> dict[str, Tensor]:
    """Return the weights for mmseg's ``ResNet(depth=…, deep_stem=False, style="pytorch")`` that gives the same maps.

    Args:
        encoder: an encoder, or a name or path for `from_pretrained`; it shares no memory with the result.

    Returns:
        Name -> tensor on the CPU; the names are torchvision's.

    Raises:
        ConfigError: mmseg's ResNet cannot compute the network; the message lists all differences.
    """
    encoder = as_encoder(encoder)
    problems = differences_from_plain(encoder.config, "mmseg")
    if problems:
        advice = "Use the backbone SSLHSICEncoder of sslhsic_transfer.adapters.mmseg, which can be all of this."
        raise ConfigError("\n".join(["This encoder cannot become mmseg's ResNet:", *problems, advice]))
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in encoder.state_dict().items()}


def mmseg_config(encoder: Encoder, checkpoint: str | Path) -> str:
    """Return the part of an mmseg config for backbone and preprocessing, as Python code to follow a ``_base_``.

    Args:
        encoder: the encoder that `to_mmseg` converted.
        checkpoint: the file of its weights.
    """
    mean, std = encoder.preprocessing.on_255()
    return f"""\
model = dict(
    data_preprocessor=dict(type="SegDataPreProcessor", mean={mean}, std={std}, bgr_to_rgb=True),
    pretrained=None,
    backbone=dict(
        type="ResNet",
        depth={DEPTHS[encoder.config.architecture]},
        style="pytorch",
        init_cfg=dict(type="Pretrained", checkpoint={str(checkpoint)!r}),
    ),
)
"""


def save_mmseg(encoder: Encoder | str | Path, output: str | Path, *, overwrite: bool = False) -> tuple[Path, Path]:
    """Write the weights as a .pth file, and next to it a .py file with the config that loads them.

    Args:
        encoder: as for `to_mmseg`.
        output: the file of the weights.
        overwrite: whether existing files may be replaced.

    Returns:
        The two files.

    Raises:
        ConfigError: as for `to_mmseg`, or the name does not end in .pth.
        OutputExistsError: one of the files exists.
    """
    output = Path(output)
    if output.suffix != ".pth":
        raise ConfigError(f"Got the output {output}; expected a name that ends in .pth.")
    config = output.with_suffix(".py")
    if not overwrite and (there := [str(path) for path in (output, config) if path.exists()]):
        raise OutputExistsError(f"{' and '.join(there)} already exists: choose another name, or overwrite it.")
    encoder = as_encoder(encoder)
    state = to_mmseg(encoder)
    with atomic_path(output) as temporary:
        torch.save({"state_dict": state, "meta": {"source": encoder.name_or_path}}, temporary)
    write_text(config, mmseg_config(encoder, output.resolve()))
    return output, config
