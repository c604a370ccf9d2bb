"""From a detector to an ONNX graph, whose shapes depend on what is in the picture.

Torch's newer exporter takes these networks, too, once `batched_nms` is exchanged, but it takes minutes where the older
one takes seconds, for the same figures: so it is the older one that is used.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import transform
from torchvision.ops import boxes as box_operations

from sslhsic_transfer.adapters.onnx.dense.info import DenseOutput
from sslhsic_transfer.adapters.onnx.graph import INPUT, reason, tidy
from sslhsic_transfer.errors import ExportError

OPSETS = range(18, 21)  # what the older exporter knows
_EXPECTED: tuple[tuple[str, type[Warning]], ...] = (
    ("You are using the legacy TorchScript-based ONNX export", DeprecationWarning),
    ("The feature will be removed", DeprecationWarning),
    ("`torch.jit", FutureWarning),
    ("`torch.jit", DeprecationWarning),
    ("To copy construct from a tensor", UserWarning),
    ("Exporting aten::index operator of advanced indexing", UserWarning),
    ("torch.meshgrid: in an upcoming release", UserWarning),
    # Of values that the trace holds fixed: whether they may be is what the comparison at other sizes tells.
    ("", torch.jit.TracerWarning),  # type: ignore[attr-defined]
)


def trace_detector(
    network: nn.Module, outputs: tuple[DenseOutput, ...], size: tuple[int, int] | None, opset: int
) -> Any:
    """Export a detector in eval mode on the CPU.

    Args:
        network: (1, 3, H, W) -> a tuple of tensors with a row a detection.
        outputs: their names.
        size: fixed height and width; None: any.
        opset: version of the standard operators.

    Returns:
        An ``onnx.ModelProto`` without loops and branches.

    Raises:
        ExportError: torch cannot export it; the message names the operator where there is one to name.
    """
    import onnx

    example = torch.rand(1, 3, *(size or (100, 140)), generator=torch.Generator().manual_seed(0))
    free: dict[str, dict[int, str]] = {name: {0: "detections"} for name in outputs}
    if size is None:
        free[INPUT] = {2: "height", 3: "width"}
    content: Any = io.BytesIO()
    try:
        with warnings.catch_warnings(), _traceable():
            for message, category in _EXPECTED:
                warnings.filterwarnings("ignore", message, category)
            torch.onnx.export(
                network,
                (example,),
                content,
                input_names=[INPUT],
                output_names=list(outputs),
                dynamic_axes=free,
                opset_version=opset,
                dynamo=False,
            )
    except Exception as error:  # of many kinds, most of them of torch's own
        raise ExportError(f"{type(network).__name__} cannot be exported: {reason(error)}") from error
    model = onnx.load_from_string(content.getvalue())
    tidy(model, "detector")
    return model


@contextmanager
def _traceable() -> Iterator[None]:
    """Functions of torchvision and torch, exchanged for others where they export to something else than they do.

    Pictures are resized to sizes that are rounded in double precision, as they are outside of a trace; suppression has
    no branch; masks stay as the network gives them, which needs no loop over detections; what is split by pictures, of
    which there is one, stays whole, however many proposals the traced one had.
    """
    with ExitStack() as stack:
        stack.enter_context(_exchanged(transform, "_resize_image_and_masks", _resize))
        stack.enter_context(_exchanged(box_operations, "batched_nms", _suppress_by_class))
        stack.enter_context(_exchanged(transform, "paste_masks_in_image", lambda masks, boxes, size: masks))
        stack.enter_context(_exchanged(torch.Tensor, "split", _split(torch.Tensor.split)))
        yield


@contextmanager
def _exchanged(module: Any, name: str, function: Any) -> Iterator[None]:
    original = getattr(module, name)
    setattr(module, name, function)
    try:
        yield
    finally:
        setattr(module, name, original)


def _split(original: Any) -> Any:
    def split(tensor: Tensor, sizes: Any, dim: int = 0) -> Any:
        return (tensor,) if isinstance(sizes, list) and len(sizes) == 1 else original(tensor, sizes, dim)

    return split


def _suppress_by_class(boxes: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float) -> Tensor:
    """As torchvision's function: the classes are moved apart, so that boxes of two never overlap."""
    largest = torch.cat([boxes.flatten(), boxes.new_zeros(1)]).max()  # of none, too
    moved = boxes + (idxs.to(boxes) * (largest + 1))[:, None]
    return box_operations.nms(moved, scores, iou_threshold)


def _resize(
    image: Tensor,
    self_min_size: int,
    self_max_size: int,
    target: None = None,
    fixed_size: tuple[int, int] | None = None,
) -> tuple[Tensor, None]:
    """(3, H, W) -> (3, h, w): the short side to one length, unless the long one passes another."""
    if fixed_size is not None:
        size: Any = (fixed_size[1], fixed_size[0])
    else:
        sides = torch._shape_as_tensor(image)[1:].to(torch.float64)
        wanted = torch.tensor([self_min_size, self_max_size], dtype=torch.float64)
        factor = (wanted / torch.stack([sides.min(), sides.max()])).min()  # number / tensor would become a reciprocal
        height, width = torch.floor(factor * sides).to(torch.int64).unbind()
        size = (height, width)
    return nn.functional.interpolate(image[None], size=size, mode="bilinear", align_corners=False)[0], target
