"""What is watched while training: the online k-NN."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sslhsic_transfer.embed.extract import extract_batches
from sslhsic_transfer.evaluate.knn import knn_accuracy
from sslhsic_transfer.images import Pictures, to_rgb
from sslhsic_transfer.models.encoder import Encoder
from sslhsic_transfer.pretrain.recipe import MonitorSettings
from sslhsic_transfer.pretrain.sources import PretrainingData, Stream


class OnlineKNN:
    """k-NN accuracy of an encoder on labelled pictures of the run's own data.

    Queries come from the validation split; without one, the training pictures query one another, each without itself,
    and where only the validation split has labels, its pictures do so.
    Test pictures are never used, and pictures that cannot be read are left out.

    Args:
        data: the run's data, labelled.
        settings: neighbours, and how many pictures to use: evenly spread over the classes.
    """

    def __init__(self, data: PretrainingData, settings: MonitorSettings) -> None:
        self.k = settings.knn_k
        labelled = [split for split in (data.train, data.validation) if split is not None and split.classes]
        self.bank, *queries = [
            _Spread(split, settings.knn_images) for split in labelled if not isinstance(split, Stream)
        ]
        self.queries = queries[0] if queries else None

    def __call__(self, encoder: Encoder, workers: int = 0) -> float:
        """Accuracy from 0 to 1."""
        bank = _embed(encoder, self.bank, workers)
        if self.queries is None:
            return knn_accuracy(*bank, k=self.k)
        return knn_accuracy(*bank, *_embed(encoder, self.queries, workers), k=self.k)


class _Spread(Sequence[Image.Image]):
    """At most ``most`` pictures, at even distances in the order of their classes."""

    def __init__(self, pictures: Pictures, most: int) -> None:
        self.pictures = pictures
        labels = np.asarray(pictures.labels)
        order = labels.argsort(kind="stable")
        count = min(most, len(order))
        self.indices = order[[i * len(order) // count for i in range(count)]]
        self.labels = torch.from_numpy(labels[self.indices])

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, place: Any) -> Any:
        """One picture in RGB.

        Raises:
            ImageError: it cannot be read.
        """
        with self.pictures.open(int(self.indices[place])) as image:
            return to_rgb(image)


def _embed(encoder: Encoder, pictures: _Spread, workers: int) -> tuple[Tensor, Tensor]:
    """Embeddings and labels of the pictures that can be read; the others are named where they are trained on."""
    parts: list[Tensor] = []
    unreadable: set[int] = set()
    for embeddings, errors in extract_batches(encoder, pictures, batch_size=256, workers=workers):
        parts.append(embeddings)
        unreadable |= errors.keys()
    readable = [index for index in range(len(pictures)) if index not in unreadable]
    return torch.cat(parts), pictures.labels[readable]
