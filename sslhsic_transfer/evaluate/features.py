"""Features of labeled folders: an encoder's embeddings, or raw pixels as a baseline."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sslhsic_transfer.data.image_folder import ImageFolder
from sslhsic_transfer.data.images import load_image
from sslhsic_transfer.embed.extract import extract
from sslhsic_transfer.errors import DataError
from sslhsic_transfer.hub.encoder import Encoder

PIXEL_SIDE = 16


@dataclass(frozen=True)
class Features:
    """Rows of features with their labels.

    Attributes:
        values: (N, D) float32.
        labels: (N,) int64 classes.
        folder: the pictures that the features come from.
    """

    values: Tensor
    labels: Tensor
    folder: ImageFolder


def scan_splits(*roots: str | Path | None) -> list[ImageFolder | None]:
    """Scan the labeled folders of a data set's splits; None stays None.

    Raises:
        DataError: a folder has no pictures or no classes, or its classes differ from those of the first folder.
    """
    folders = [None if root is None else ImageFolder.scan(root, labelled=True) for root in roots]
    present = [folder for folder in folders if folder is not None]
    for other in present[1:]:
        if other.classes != present[0].classes:
            odd = sorted(set(other.classes) ^ set(present[0].classes))
            raise DataError(
                f"{present[0].root} and {other.root} have different classes ({', '.join(odd)} in one of them only); "
                "expected the same sub-folders in both."
            )
    return folders


def encoder_features(
    encoder: Encoder,
    folder: ImageFolder,
    *,
    batch_size: int = 64,
    workers: int = 0,
    progress: str | None = None,
) -> Features:
    """Return the embeddings of a labeled folder.

    Raises:
        ImageError: a picture cannot be read; a result over fewer pictures would not be comparable.
    """
    values = extract(encoder, folder.paths, batch_size=batch_size, workers=workers, progress=progress)
    return Features(values, torch.tensor(folder.labels), folder)


def pixel_features(folder: ImageFolder, side: int = PIXEL_SIDE) -> Features:
    """Return the pictures as features, shrunk to ``side`` × ``side`` RGB, on [−1, 1]: a baseline without a network."""
    return Features(_pixels(folder.paths, side), torch.tensor(folder.labels), folder)


def _pixels(paths: Sequence[Path], side: int) -> Tensor:
    from torchvision.transforms.v2 import functional as F

    shrunk = [F.pil_to_tensor(load_image(path).resize((side, side))) for path in paths]
    return torch.stack(shrunk).flatten(1).float() / 127.5 - 1
