"""Operators that files of each kind may hold; files with any other operator are refused."""

from dataclasses import dataclass

OPSETS = range(18, 24)  # from 18 Resize has antialiasing; above 23 ONNX Runtime's kernels are incomplete


@dataclass(frozen=True)
class FileKind:
    """A kind of exported file.

    Attributes:
        name: its name in messages.
        operators: all operators that it may hold, from the standard domain.
        opener: the call that opens it.
    """

    name: str
    operators: frozenset[str]
    opener: str


# None of these calls code or branches; only `Resize` can make a tensor whose size is chosen by the file.
OPERATORS = frozenset(
    {
        "Add", "Cast", "Clip", "Concat", "Constant", "Conv", "DequantizeLinear", "Div", "Gemm", "GlobalAveragePool",
        "Identity", "MaxPool", "Mul", "QuantizeLinear", "ReduceMean", "ReduceMin", "Relu", "Resize", "Round",
        "Shape", "Slice", "Sub", "Transpose",
    }
)  # fmt: skip
# Added by ConvNeXts and ViTs, for padding to whole patches, position embeddings for any size, and attention.
_TRANSFORMERS = frozenset(
    {
        "Ceil", "Cos", "Expand", "Gather", "Gelu", "LayerNormalization", "MatMul", "Max", "Mod", "Neg", "Pad", "Range",
        "Reshape", "Sin", "Softmax", "Split", "Squeeze", "Unsqueeze",
    }
)  # fmt: skip
# Added by the heads of segmentation and depth. Some can make tensors whose size is chosen by the file, as `Resize` can.
_MAPS = frozenset(
    {
        "ArgMax", "BatchNormalization", "Ceil", "Floor", "GreaterOrEqual", "Less", "MatMul", "Max", "Min", "Mod", "Neg",
        "Pad", "Range", "Reshape", "Sigmoid", "Softplus", "Squeeze", "Unsqueeze",
    }
)  # fmt: skip
# Added by torchvision's and Detectron2's detectors, for anchors, scores, suppression and regions. No loops or branches.
_DETECTORS = frozenset(
    {
        "And", "ConstantOfShape", "ConvTranspose", "Equal", "Exp", "Expand", "Flatten", "Gather", "GatherND",
        "Greater", "Log", "NonMaxSuppression", "NonZero", "Not", "OneHot", "Reciprocal", "ReduceMax", "ReduceProd",
        "ReduceSum", "RoiAlign", "ScatterElements", "ScatterND", "Softmax", "Split", "Sqrt", "Tile", "TopK", "Where",
        "Xor",
    }
)  # fmt: skip
ENCODER = FileKind("encoder", OPERATORS | _TRANSFORMERS, "OnnxEncoder.from_pretrained(FILE)")
DENSE = FileKind("dense model", OPERATORS | _TRANSFORMERS | _MAPS | _DETECTORS, "OnnxDenseModel.from_file(FILE)")
KINDS = {kind.name: kind for kind in (ENCODER, DENSE)}
