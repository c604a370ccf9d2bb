"""Pictures for the comparison of an exported encoder, prepared for the file and for torch, and torch's outputs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sslhsic_transfer.adapters.onnx.head import LinearHead
from sslhsic_transfer.adapters.onnx.runtime.encoder import OnnxEncoder
from sslhsic_transfer.adapters.onnx.runtime.pictures import normalized
from sslhsic_transfer.data.image_folder import ImageFolder
from sslhsic_transfer.data.images import spread_indices, to_uint8_array
from sslhsic_transfer.hub.encoder import Encoder
from sslhsic_transfer.models.backbone import Output
from sslhsic_transfer.models.config import STAGES
from sslhsic_transfer.sample import sign_digits

_BANK, _QUERIES = 200, 100
_AT_ONCE = 25  # pictures


@dataclass(frozen=True)
class PictureLoader:
    """Functions that prepare pictures for the network and for the file.

    Attributes:
        tensor: function from a picture file to a normalized tensor (3, H, W).
        batches: function from (H, W, 3) uint8 pictures of any size to inputs of the file.
    """

    tensor: Callable[[Path], torch.Tensor]
    batches: Callable[[Sequence[NDArray[np.uint8]]], list[NDArray[Any]]]


def loader_of(runtime: OnnxEncoder) -> PictureLoader:
    """Make the loader from the file's preprocessing, or by plain resizing if its fixed size is not a square."""
    preprocessing, (height, width) = runtime.preprocessing, runtime.sides
    if height is None or width is None or (height, width) == (preprocessing.crop, preprocessing.crop):
        return PictureLoader(preprocessing.transform(), runtime.batches)

    def resized(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))

    def tensor(path: Path) -> torch.Tensor:
        return torch.from_numpy(normalized(resized(to_uint8_array(path)), preprocessing))

    def batches(pictures: Sequence[NDArray[np.uint8]]) -> list[NDArray[Any]]:
        return runtime.batches_of([resized(picture) for picture in pictures])

    return PictureLoader(tensor, batches)


@dataclass(frozen=True)
class Reference:
    """Networks that files are compared with: plain copies, see `plain_copy`."""

    encoder: Encoder
    head: LinearHead | None

    def outputs(self, images: torch.Tensor, names: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Compute outputs of normalized pictures (B, 3, H, W)."""
        every: tuple[Output, ...] = ("pooled", *STAGES)
        given = {str(name): value for name, value in self.encoder.backbone.forward_outputs(images, every).items()}
        if self.head is not None:
            given["logits"] = self.head(given["pooled"])
        return {name: given[name].numpy() for name in names}

    def of_pictures(
        self, folder: ImageFolder, names: Sequence[str], load: PictureLoader
    ) -> dict[str, NDArray[np.float32]]:
        """Compute outputs of all pictures in a folder."""
        parts: list[dict[str, NDArray[np.float32]]] = []
        for start in range(0, len(folder), _AT_ONCE):
            images = torch.stack([load.tensor(path) for path in folder.paths[start : start + _AT_ONCE]])
            parts.append(self.outputs(images, names))
        return _joined(parts)


def of_pictures_by_file(
    runtime: OnnxEncoder, folder: ImageFolder, load: PictureLoader
) -> dict[str, NDArray[np.float32]]:
    """Compute the file's outputs for all pictures in a folder."""
    parts = [
        runtime.run(batch, runtime.info.outputs)
        for start in range(0, len(folder), _AT_ONCE)
        for batch in load.batches([to_uint8_array(path) for path in folder.paths[start : start + _AT_ONCE]])
    ]
    return _joined(parts)


def compared_folder(pictures: str | Path | None) -> Path:
    """Return the folder of pictures that `verify` compares: the user's, or the bundled test pictures."""
    return sign_digits().test if pictures is None else Path(pictures)


def real_pictures(folder: str | Path | None) -> tuple[ImageFolder, ImageFolder]:
    """Choose bank and query pictures, spread evenly over the available ones."""
    compared = ImageFolder.scan(compared_folder(folder))
    if folder is None:
        return _some(ImageFolder.scan(sign_digits().train), _BANK), _some(compared, _QUERIES)
    everything = _some(compared, 3 * _QUERIES)
    indices = range(len(everything))
    return everything.subset(i for i in indices if i % 3), everything.subset(i for i in indices if not i % 3)


def _some(folder: ImageFolder, count: int) -> ImageFolder:
    return folder.subset(spread_indices(len(folder), min(count, len(folder))))


def _joined(parts: Sequence[dict[str, NDArray[np.float32]]]) -> dict[str, NDArray[np.float32]]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
