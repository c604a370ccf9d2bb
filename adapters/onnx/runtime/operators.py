"""Which operators files of each kind may hold; what is not named here is not run."""

from dataclasses import dataclass

OPSETS = range(18, 24)  # 18: Resize filters; above 23 ONNX Runtime's kernels are not complete


@dataclass(frozen=True)
class FileKind:
    """A kind of exported file.

    Attributes:
        name: what messages call it.
        operators: all that it can hold, of the standard's own domain.
        opener: what runs it.
    """

    name: str
    operators: frozenset[str]
    opener: str


# None of these calls code or branches; `Resize` alone may make a tensor of a size that stands in the file.
OPERATORS = frozenset(
    {
        "Add", "Cast", "Clip", "Concat", "Constant", "Conv", "DequantizeLinear", "Div", "Gemm", "GlobalAveragePool",
        "Identity", "MaxPool", "Mul", "QuantizeLinear", "ReduceMean", "ReduceMin", "Relu", "Resize", "Round",
        "Shape", "Slice", "Sub", "Transpose",
    }
)  # fmt: skip
# ConvNeXts and Vision Transformers: padding to whole patches, position embeddings for any size, attention.
_TRANSFORMERS = frozenset(
    {
        "Ceil", "Cos", "Expand", "Gather", "Gelu", "LayerNormalization", "MatMul", "Max", "Mod", "Neg", "Pad", "Range",
        "Reshape", "Sin", "Softmax", "Split", "Squeeze", "Unsqueeze",
    }
)  # fmt: skip
# Segmentation and depth: what their heads add. Some make tensors of a size that a file may choose, as `Resize` does.
_MAPS = frozenset(
    {
        "ArgMax", "BatchNormalization", "Ceil", "Floor", "GreaterOrEqual", "Less", "MatMul", "Max", "Min", "Mod", "Neg",
        "Pad", "Range", "Reshape", "Sigmoid", "Softplus", "Squeeze", "Unsqueeze",
    }
)  # fmt: skip
# Torchvision's and Detectron2's detectors: anchors, choosing by score, suppression, regions. No loops and no branches.
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
