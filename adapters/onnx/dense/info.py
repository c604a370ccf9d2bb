"""Metadata of an exported dense model, read and written without torch."""

from typing import ClassVar, Literal

from pydantic import Field

from sslhsic_transfer.adapters.onnx.info import FileInfo
from sslhsic_transfer.models.preprocessing import Preprocessing

DenseTask = Literal["segmentation", "detection", "depth"]
DenseInput = Literal["normalized", "resized"]
DenseOutput = Literal["logits", "classes", "depth", "boxes", "scores", "labels", "masks"]

# Possible outputs of each task's files.
OUTPUTS: dict[DenseTask, tuple[DenseOutput, ...]] = {
    "segmentation": ("logits", "classes"),
    "depth": ("depth",),
    "detection": ("boxes", "scores", "labels", "masks"),
}


class DenseInfo(FileInfo):
    """Facts about an exported dense model; each is an entry of the file's metadata, under ``sslhsic.``."""

    kind: ClassVar[str] = "dense model"

    task: DenseTask = Field(description="Task of the network.")
    framework: str = Field(
        description="Framework that the network comes from: torchvision, mmseg, detectron2 or depth."
    )
    network: str = Field(description="Name of the network in its framework, such as 'fcn', 'faster_rcnn' or 'dpt'.")
    model: str = Field(description="Name of the model at the time of the export.")
    weights_sha256: str = Field(
        pattern="^[0-9a-f]{64}$", description="SHA-256 of all weights of the network, as safetensors."
    )
    classes: tuple[str, ...] = Field(
        default=(), description="Names of the classes, in the order of their numbers; empty for depth."
    )
    preprocessing: Preprocessing = Field(
        description="Preprocessing of the encoder. Only its mean and std apply to the pictures: they are neither "
        "resized to its size nor cropped."
    )
    resize: int | None = Field(
        default=None,
        ge=1,
        description="Length in pixels to which the short side of pictures is resized first; null: pictures keep their "
        "size.",
    )
    longest: int | None = Field(
        default=None, ge=1, description="Upper limit of a resized picture's long side, in pixels; null: no limit."
    )
    input: DenseInput = Field(
        description="Form of the input. 'normalized': float32 (B, 3, H, W), normalized by mean and std; 'resized': "
        "uint8 (B, H, W, 3), normalized in the graph. Detectors take one picture, B = 1, and resize it in the graph."
    )
    outputs: tuple[DenseOutput, ...] = Field(
        min_length=1,
        description="Names of the outputs. Segmentation: 'logits' (B, classes, H, W) and 'classes' (B, H, W) uint8. "
        "Depth: 'depth' (B, 1, H, W) in meters. Detection: 'boxes' (N, 4), corners x1, y1, x2, y2 in pixels of the "
        "input; 'scores' (N,); 'labels' (N,), counted from 0; 'masks' (N, 1, 28, 28), probabilities within the boxes.",
    )
    precision: Literal["fp32"] = Field(default="fp32", description="Precision of weights and arithmetic.")
    opset: int = Field(description="Version of ONNX's standard operators.")
    library_version: str = Field(description="Version of sslhsic_transfer that exported the file.")
