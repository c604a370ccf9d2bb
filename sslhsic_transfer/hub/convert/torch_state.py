"""From a state dict in a foreign layout to tensors in torchvision's names and the account of them."""

from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor

from sslhsic_transfer.hub.convert.build import infer_config
from sslhsic_transfer.hub.convert.kinds import check_kinds
from sslhsic_transfer.hub.convert.report import ConversionReport
from sslhsic_transfer.hub.convert.state_names import translate

_SMALL_STEM = (
    "a 3×3 first convolution is taken to have stride 1 and no max-pool behind it, as in the small networks for CIFAR; "
    "no tensor tells"
)


def read_state(
    state: Mapping[str, Tensor],
    source: str,
    *,
    prefix: str | None = None,
    drop: Sequence[str] = (),
    padding: Literal["torch", "same"] = "torch",
) -> tuple[dict[str, Tensor], ConversionReport]:
    """Find the encoder in a state dict.

    Args:
        state: name -> tensor, in one of the layouts of `layouts.py`.
        source: where it comes from, for the report and for messages.
        prefix: of the encoder, if it is not the first known one.
        drop: beginnings of further names that may be left out.
        padding: the convention of the network, which no tensor tells.

    Raises:
        WeightsError: there is no ResNet, a tensor is not accounted for, or is of a kind that weights are not.
        UnknownArchitectureError: a ResNet of unknown depth, stem or width.
    """
    names = translate(state, source, prefix=prefix, drop=drop)
    tensors = {name: state[original] for name, original in names.used.items()}
    check_kinds(tensors, source)
    config = infer_config({name: tuple(tensor.shape) for name, tensor in tensors.items()}, source, padding=padding)
    report = ConversionReport(
        source=source,
        layout=names.layout,
        config=config,
        used=tuple(names.used.values()),
        dropped=names.dropped,
        notes=(_SMALL_STEM,) if config.stem == "small" else (),
    )
    return tensors, report
