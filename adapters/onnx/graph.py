"""ONNX graphs of encoders: float32, from normalized pictures to embedding, feature maps and logits."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sslhsic_transfer._lazy import optional_import
from sslhsic_transfer.adapters.onnx.head import LinearHead
from sslhsic_transfer.adapters.onnx.info import Output
from sslhsic_transfer.adapters.onnx.runtime.operators import OPSETS
from sslhsic_transfer.errors import ConfigError, ExportError
from sslhsic_transfer.hub.encoder import Encoder
from sslhsic_transfer.models.backbone import Output as BackboneOutput
from sslhsic_transfer.models.config import STAGES

INPUT = "images"
TRACED = (2, 3, 96, 128)  # different sides, and no batch of one, which the exporter could make constant


class _Outputs(nn.Module):
    """Wrapper that returns an encoder's outputs as a tuple."""

    def __init__(self, encoder: Encoder, outputs: Sequence[Output], head: LinearHead | None) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.outputs = tuple(outputs)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        wanted: set[BackboneOutput] = {"pooled" if name == "logits" else name for name in self.outputs}
        given = {str(name): value for name, value in self.encoder.backbone.forward_outputs(images, wanted).items()}
        if self.head is not None and "logits" in self.outputs:
            given["logits"] = self.head(given["pooled"])
        return tuple(given[name] for name in self.outputs)


def encoder_graph(
    encoder: Encoder,
    outputs: Sequence[Output],
    *,
    head: LinearHead | None = None,
    batch: int | None = None,
    size: tuple[int, int] | None = None,
    opset: int = 20,
) -> Any:
    """Trace an encoder.

    Args:
        encoder: the encoder, in any mode, on any device; it is not changed.
        outputs: any of ``"pooled"``, ``"c2"`` to ``"c5"``, and with a head ``"logits"``.
        head: the linear layer of a classifier.
        batch: fixed number of pictures; None: any.
        size: fixed height and width; None: any of at least 32.
        opset: version of the standard operators.

    Returns:
        An ``onnx.ModelProto`` with batch normalization folded into the convolutions and no traces of this machine.

    Raises:
        ConfigError: outputs or opset are unknown, or no encoder takes the sizes.
        ExportError: torch cannot export the encoder.
        MissingDependencyError: onnx or onnxscript is not installed.
    """
    _check(outputs, head, batch, size, opset)
    for package in ("onnx", "onnxscript"):
        optional_import(package, extra="onnx", purpose="Exporting to ONNX")
    network = _Outputs(_plain_copy(encoder), outputs, head).eval()
    shape = (batch or TRACED[0], 3, *(size or TRACED[2:]))
    free = {0: batch is None, 2: size is None, 3: size is None}
    names = {0: "batch", 2: "height", 3: "width"}
    dynamic = {axis: names[axis] for axis, is_free in free.items() if is_free}
    model = trace(network, torch.zeros(shape), [INPUT], list(outputs), dynamic, opset)
    if encoder.config.padding == "same":
        _pad_as_jax(model)
    return model


def trace(
    network: nn.Module, example: Tensor, inputs: list[str], outputs: list[str], dynamic: dict[int, str], opset: int
) -> Any:
    """Export a network in eval mode on the CPU.

    Args:
        network: function from one tensor to a tensor or a tuple of tensors.
        example: an input.
        inputs: name of the input.
        outputs: names of the outputs.
        dynamic: names of the input's axes that may have any length, by axis.
        opset: version of the standard operators.

    Raises:
        ExportError: torch cannot export the network; the message names the operator if it is known.
    """
    try:
        with _quiet():
            program = torch.onnx.export(
                network,
                (example,),
                input_names=inputs,
                output_names=outputs,
                dynamic_shapes=(dynamic or None,),
                dynamo=True,
                opset_version=opset,
                verbose=False,
            )
    except Exception as error:  # of many types, most of them torch's own
        raise ExportError(f"{type(network).__name__} cannot be exported: {reason(error)}") from error
    assert program is not None
    model = program.model_proto
    tidy(model)
    return model


def tidy(model: Any, name: str = "encoder") -> None:
    """Remove the exporter's notes about the machine and Python, and name nodes by their number, in place.

    Args:
        model: an ``onnx.ModelProto``.
        name: name of the graph.
    """
    del model.metadata_props[:]
    model.producer_name, model.producer_version, model.doc_string = "sslhsic-transfer", "", ""
    graph = model.graph
    graph.name, graph.doc_string = name, ""
    del graph.metadata_props[:]
    del graph.value_info[:]
    for number, node in enumerate(graph.node):
        del node.metadata_props[:]
        node.doc_string = ""
        node.name = f"{node.op_type.lower()}_{number}"
    for value in [*graph.input, *graph.output, *graph.initializer]:
        del value.metadata_props[:]
        value.doc_string = ""


def _plain_copy(encoder: Encoder) -> Encoder:
    """Copy an encoder to the CPU in float32 with symmetric padding, whose layers torch can export at any size."""
    config = encoder.config.model_copy(update={"padding": "torch"})
    with torch.device("meta"):
        copy = Encoder(config, encoder.preprocessing)
    state = {
        name: tensor.detach().to("cpu", torch.float32 if tensor.is_floating_point() else None)
        for name, tensor in encoder.state_dict().items()
    }
    copy.load_state_dict(state, strict=True, assign=True)
    return copy.requires_grad_(False).eval()


def _pad_as_jax(model: Any) -> None:
    """Give strided layers ONNX's padding ``SAME_UPPER``, which puts an odd pixel at the end, as JAX's ``SAME`` does."""
    from onnx import helper

    for node in model.graph.node:
        values = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        strided = max(values.get("strides", [1])) > 1 and max(values.get("kernel_shape", [1])) > 1
        if node.op_type in ("Conv", "MaxPool") and strided:
            kept = [attribute for attribute in node.attribute if attribute.name not in ("pads", "auto_pad")]
            del node.attribute[:]
            node.attribute.extend([*kept, helper.make_attribute("auto_pad", "SAME_UPPER")])


def _check(
    outputs: Sequence[Output],
    head: LinearHead | None,
    batch: int | None,
    size: tuple[int, int] | None,
    opset: int,
) -> None:
    expected = (*(["logits"] if head else []), "pooled", *STAGES)
    unknown = [name for name in outputs if name not in expected]
    if unknown or not outputs or len(set(outputs)) < len(outputs):
        raise ConfigError(
            f"Got outputs {', '.join(outputs) or '(none)'}; expected some of {', '.join(expected)}, each once."
        )
    if opset not in OPSETS:
        raise ConfigError(f"Got opset {opset}; expected one from {OPSETS.start} to {OPSETS.stop - 1}.")
    if batch is not None and batch < 1:
        raise ConfigError(f"Got a fixed batch of {batch}; expected 1 or more.")
    if size is not None and min(size) < 32:
        raise ConfigError(f"Got a fixed size of {size[0]} × {size[1]}; expected at least 32 × 32.")


def reason(error: BaseException) -> str:
    """Return the first line of the innermost cause, which names the operator; torch wraps it several times."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's output, logs and warnings."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.__trace", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
