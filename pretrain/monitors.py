"""What is watched while training: the online k-NN."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from sslhsic_transfer.embed.extract import extract_batches
from sslhsic_transfer.evaluate.knn import knn_accuracy
from sslhsic_transfer.images import ImageFolder
from sslhsic_transfer.models.encoder import Encoder
from sslhsic_transfer.pretrain.data import PretrainingData
from sslhsic_transfer.pretrain.recipe import MonitorSettings


class OnlineKNN:
    """k-NN accuracy of an encoder on labelled pictures of the run's own data.

    Queries come from the validation split; without one the training pictures query one another, each without itself.
    Test pictures are never used, and pictures that cannot be read are left out.

    Args:
        data: the run's data.
        settings: neighbours, and how many pictures to use: evenly spread over the classes.
    """

    def __init__(self, data: PretrainingData, settings: MonitorSettings) -> None:
        self.k = settings.knn_k
        self.bank = _spread(data.train, settings.knn_images)
        self.queries = _spread(data.validation, settings.knn_images) if data.validation else None

    def __call__(self, encoder: Encoder, workers: int = 0) -> float:
        """Accuracy from 0 to 1."""
        bank = _embed(encoder, *self.bank, workers)
        if self.queries is None:
            return knn_accuracy(*bank, k=self.k)
        return knn_accuracy(*bank, *_embed(encoder, *self.queries, workers), k=self.k)


def _embed(encoder: Encoder, paths: Sequence[Path], labels: Tensor, workers: int) -> tuple[Tensor, Tensor]:
    """Embeddings and labels of the pictures that can be read; the others are named where they are trained on."""
    parts: list[Tensor] = []
    unreadable: set[int] = set()
    for embeddings, errors in extract_batches(encoder, paths, batch_size=256, workers=workers):
        parts.append(embeddings)
        unreadable |= errors.keys()
    readable = [index for index in range(len(paths)) if index not in unreadable]
    return torch.cat(parts), labels[readable]


def _spread(folder: ImageFolder, most: int) -> tuple[Sequence[Path], Tensor]:
    """At most ``most`` pictures at even distances in the folder's order, which is sorted by class."""
    count = min(most, len(folder))
    chosen = [i * len(folder) // count for i in range(count)]
    return [folder.paths[i] for i in chosen], torch.tensor([folder.labels[i] for i in chosen])
