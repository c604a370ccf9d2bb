"""Selection of the encoder's tensors from a state dict, renamed to torchvision's names, each tensor accounted for."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from sslhsic_transfer.errors import WeightsError
from sslhsic_transfer.hub.convert.conversion import ConversionReport
from sslhsic_transfer.hub.convert.layouts import LAYOUTS, NAMINGS, Layout, Naming, reason_to_drop
from sslhsic_transfer.hub.convert.resnet_recognition import SUPPORTED, infer_config
from sslhsic_transfer.hub.tensor_checks import check_kinds, summarize_names

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


_WRAPPERS = ("module", "_orig_mod")  # prefixes that DataParallel and torch.compile add


@dataclass(frozen=True)
class Names:
    """Result of a translation: torchvision's name -> the file's, reason -> dropped names, and the layout."""

    used: Mapping[str, str]
    dropped: Mapping[str, tuple[str, ...]]
    layout: str


def translate(names: Iterable[str], source: str, *, prefix: str | None = None, drop: Sequence[str] = ()) -> Names:
    """Find the single encoder among the names of a state dict.

    Args:
        names: the names of the tensors.
        source: where they come from, for messages.
        prefix: the encoder's prefix, such as ``"encoder_k."``; by default that of the first known layout that fits.
        drop: prefixes of further names that may be left out.

    Raises:
        WeightsError: there is no ResNet, none at a known place, or there are tensors that no rule allows to drop.
    """
    names = list(names)
    clean = {_unwrapped(name): name for name in names}
    if len(clean) != len(names):
        raise WeightsError(f"{source} holds the same names with and without 'module.'; save only one of the two.")
    layout, naming = _recognize(clean, source, prefix)
    used: dict[str, str] = {}
    dropped: dict[str, list[str]] = {}
    unknown = []
    for name, original in clean.items():
        inner = naming.translate(name.removeprefix(layout.prefix)) if name.startswith(layout.prefix) else None
        if inner is not None:
            used[inner] = original
        elif any(start and (name.startswith(start) or original.startswith(start)) for start in drop):
            dropped.setdefault("asked for", []).append(original)
        elif reason := reason_to_drop(name, layout):
            dropped.setdefault(reason, []).append(original)
        else:
            unknown.append(original)
    if unknown:
        raise WeightsError(
            f"{source}: not everything is accounted for. Beside the encoder at {layout.prefix!r} there are\n"
            + "\n".join(summarize_names("tensors of unknown use", unknown))
            + "\nIf they can be left out, name them: drop=['beginning'] or --drop BEGINNING. If another network was "
            "meant, give its prefix."
        )
    place = f" ({layout.prefix})" if layout.prefix else ""
    return Names(
        used, {reason: tuple(found) for reason, found in dropped.items()}, f"{layout.name}{place}, {naming.name} names"
    )


def _recognize(names: Mapping[str, str], source: str, prefix: str | None) -> tuple[Layout, Naming]:
    found = {
        name.removesuffix(naming.stem): naming
        for naming in NAMINGS
        for name in names
        if name.endswith(naming.stem) and name.removesuffix(naming.stem) + naming.block in names
    }
    # A name may end like another naming's: "0.weight" in "10.weight". A prefix must be empty or end with a dot.
    found = {place: naming for place, naming in found.items() if not place or place.endswith(".")}
    if not found:
        deep = any(re.search(r"(^|\.)(conv1|stem)\.\d+\.weight$", name) for name in names)
        raise WeightsError(
            f"{source} holds no ResNet v1.5"
            + (", but one with a deep stem (ResNet-C or ResNet-D)" if deep else "")
            + f": it has {len(names)} tensors, such as {', '.join(list(names)[:4]) or 'none'}; expected names such as "
            f"[PREFIX.]conv1.weight with [PREFIX.]layer1.0.conv1.weight. {SUPPORTED}"
        )
    if prefix is not None:
        prefix = _unwrapped(prefix if not prefix or prefix.endswith(".") else f"{prefix}.")
        if prefix not in found:
            raise WeightsError(f"{source} has no ResNet at {prefix!r}; there are some at {_places(found)}.")
        known = {layout.prefix: layout for layout in LAYOUTS}.get(prefix, Layout("as asked", prefix))
        others = {place.split(".")[0] for place in found if place != prefix and place}
        return Layout(known.name, prefix, (*known.beside, *map(re.escape, others))), found[prefix]
    for layout in LAYOUTS:
        if layout.prefix in found:
            return layout, found[layout.prefix]
    raise WeightsError(
        f"{source} holds a ResNet at a place that is not known: {_places(found)}. If it is the one that you want, say "
        "so: prefix='…' or --prefix …"
    )


def _places(found: Mapping[str, Naming]) -> str:
    return ", ".join(repr(place) for place in sorted(found))


def _unwrapped(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)
