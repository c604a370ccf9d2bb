"""What an exported dense model says of itself, in its metadata; read and written without torch."""

from typing import ClassVar, Literal

from pydantic import Field

from sslhsic_transfer.adapters.onnx.info import FileInfo
from sslhsic_transfer.models.preprocessing import Preprocessing

Task = Literal["segmentation", "detection", "depth"]
DenseInput = Literal["normalized", "resized"]
DenseOutput = Literal["logits", "classes", "depth", "boxes", "scores", "labels", "masks"]

# What each task's files can give.
OUTPUTS: dict[Task, tuple[DenseOutput, ...]] = {
    "segmentation": ("logits", "classes"),
    "depth": ("depth",),
    "detection": ("boxes", "scores", "labels", "masks"),
}


class DenseInfo(FileInfo):
    """Facts about an exported dense model; each is an entry of the file's metadata, under ``sslhsic.``."""

    kind: ClassVar[str] = "dense model"

    task: Task = Field(description="What the network does.")
    framework: str = Field(description="Whose network it is: torchvision, mmseg, detectron2, depth.")
    network: str = Field(description="The network's name there, such as 'fcn', 'faster_rcnn' or 'dpt'.")
    model: str = Field(description="What the model was called when it was exported.")
    weights_sha256: str = Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of all its weights as safetensors.")
    classes: tuple[str, ...] = Field(default=(), description="Names, in the order of their numbers.")
    preprocessing: Preprocessing = Field(
        description="Of its encoder: mean and std are how its pictures are normalised; they are neither resized to "
        "its size nor cropped."
    )
    resize: int | None = Field(
        default=None, ge=1, description="Short side that pictures are brought to first; none: they stay as they are."
    )
    longest: int | None = Field(
        default=None, ge=1, description="Most pixels that the long side gets by that; none: any."
    )
    input: DenseInput = Field(
        description="'normalized': float32 (B, 3, H, W), by mean and std; 'resized': uint8 (B, H, W, 3), normalised in "
        "the graph. Detectors take one picture, B = 1, and resize it in the graph."
    )
    outputs: tuple[DenseOutput, ...] = Field(
        min_length=1,
        description="'logits' (B, classes, H, W), 'classes' (B, H, W) uint8; 'depth' (B, 1, H, W) metres; 'boxes' "
        "(N, 4) corners x1, y1, x2, y2 in pixels of the input, 'scores' (N,), 'labels' (N,) from 0 on, 'masks' "
        "(N, 1, 28, 28) probabilities within the boxes.",
    )
    precision: Literal["fp32"] = Field(default="fp32", description="Of weights and arithmetic.")
    opset: int = Field(description="Version of the standard operators.")
    library_version: str = Field(description="Of sslhsic_transfer.")
