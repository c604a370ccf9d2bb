"""ONNX graphs of detectors, whose shapes depend on the content of the picture.

The older of torch's exporters is used. The newer one also exports these networks once `batched_nms` is replaced, but it
takes minutes instead of seconds, for the same results.
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

OPSETS = range(18, 21)  # supported by the older exporter
_EXPECTED: tuple[tuple[str, type[Warning]], ...] = (
    ("You are using the legacy TorchScript-based ONNX export", DeprecationWarning),
    ("The feature will be removed", DeprecationWarning),
    ("`torch.jit", FutureWarning),
    ("`torch.jit", DeprecationWarning),
    ("To copy construct from a tensor", UserWarning),
    ("Exporting aten::index operator of advanced indexing", UserWarning),
    ("torch.meshgrid: in an upcoming release", UserWarning),
    # Warnings about values that the trace holds constant; the comparison at other sizes checks that they may be.
    ("", torch.jit.TracerWarning),  # type: ignore[attr-defined]
)


def trace_detector(
    network: nn.Module, outputs: tuple[DenseOutput, ...], size: tuple[int, int] | None, opset: int
) -> Any:
    """Export a detector in eval mode on the CPU.

    Args:
        network: function from (1, 3, H, W) to a tuple of tensors with one row for each detection.
        outputs: names of the tensors.
        size: fixed height and width; None: any.
        opset: version of the standard operators.

    Returns:
        An ``onnx.ModelProto`` without loops and branches.

    Raises:
        ExportError: torch cannot export the network; the message names the operator if it is known.
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
    except Exception as error:  # of many types, most of them torch's own
        raise ExportError(f"{type(network).__name__} cannot be exported: {reason(error)}") from error
    model = onnx.load_from_string(content.getvalue())
    tidy(model, "detector")
    return model


@contextmanager
def _traceable() -> Iterator[None]:
    """Replace functions of torchvision and torch that are not exported faithfully.

    The replacements differ as follows. Sizes of resized pictures are rounded in double precision, as they are outside
    of a trace. Suppression has no branch. Masks are returned as the network gives them, which needs no loop over
    detections. Splitting by pictures does nothing, because there is one picture; a trace would fix the number of
    proposals.
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
    """Suppress boxes within each class as torchvision does, by moving the classes apart so that they do not overlap."""
    largest = torch.cat([boxes.flatten(), boxes.new_zeros(1)]).max()  # also defined without boxes
    moved = boxes + (idxs.to(boxes) * (largest + 1))[:, None]
    return box_operations.nms(moved, scores, iou_threshold)


def _resize(
    image: Tensor,
    self_min_size: int,
    self_max_size: int,
    target: None = None,
    fixed_size: tuple[int, int] | None = None,
) -> tuple[Tensor, None]:
    """Resize (3, H, W) so that the short side gets one length, or less if the long side would exceed another."""
    if fixed_size is not None:
        size: Any = (fixed_size[1], fixed_size[0])
    else:
        sides = torch._shape_as_tensor(image)[1:].to(torch.float64)
        wanted = torch.tensor([self_min_size, self_max_size], dtype=torch.float64)
        factor = (wanted / torch.stack([sides.min(), sides.max()])).min()  # number / tensor would become a reciprocal
        height, width = torch.floor(factor * sides).to(torch.int64).unbind()
        size = (height, width)
    return nn.functional.interpolate(image[None], size=size, mode="bilinear", align_corners=False)[0], target
