"""Selection of the encoder's tensors from a state dict, renamed to torchvision's names, with a report."""

from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor

from sslhsic_transfer.hub.convert.conversion import infer_config
from sslhsic_transfer.hub.convert.kinds import check_kinds
from sslhsic_transfer.hub.convert.report import ConversionReport
from sslhsic_transfer.hub.convert.state_dict import translate

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
        source: where the state dict comes from, for the report and for messages.
        prefix: the encoder's prefix, if it is not the first known one.
        drop: prefixes of further names that may be left out.
        padding: the network's padding convention, which tensors do not show.

    Raises:
        WeightsError: there is no ResNet, a tensor is not accounted for, or a tensor cannot be a weight.
        UnknownArchitectureError: the ResNet has an unknown depth, stem or width.
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
