"""The probes of a running encoder: k-NN, linear classifier and RankMe on pictures of the run's own data."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from sslhsic_transfer.embed.extract import extract_batches
from sslhsic_transfer.evaluate.knn import TEMPERATURE, knn_accuracy
from sslhsic_transfer.evaluate.rank import rankme
from sslhsic_transfer.evaluate.results import Result, new_result
from sslhsic_transfer.evaluate.ridge import ridge_accuracy
from sslhsic_transfer.images import ImageFolder, Picture
from sslhsic_transfer.models.encoder import Encoder
from sslhsic_transfer.pretrain.data import PretrainingData
from sslhsic_transfer.pretrain.recipe import MonitorSettings


class OnlineEvaluation:
    """What an encoder's embeddings are worth, on a sample of the run's pictures.

    Without labels that is RankMe. With them also a weighted k-NN and a ridge classifier, a linear probe in closed form:
    queries come from the validation split; without one the training pictures query one another, each without itself.
    Test pictures are never used, and pictures that cannot be read are left out.

    Args:
        data: the run's data.
        settings: neighbours, and how many pictures to use: evenly spread over the classes.
    """

    def __init__(self, data: PretrainingData, settings: MonitorSettings) -> None:
        self.k = settings.knn_k
        self.bank = _Sample(data.train, settings.images)
        self.queries = _Sample(data.validation, settings.images) if data.validation else None

    def __call__(self, encoder: Encoder, workers: int = 0) -> dict[str, float]:
        """``rankme`` and, with labels, ``knn`` and ``linear``, accuracies from 0 to 1."""
        features, labels = _embed(encoder, self.bank, workers)
        figures = {"rankme": rankme(features)} if len(features) > 1 else {}
        if labels is None:
            return figures
        queries = (None, None) if self.queries is None else _embed(encoder, self.queries, workers)
        return {
            "knn": knn_accuracy(features, labels, *queries, k=self.k),
            "linear": ridge_accuracy(features, labels, *queries),
        } | figures

    def records(self, figures: Mapping[str, float], **facts: Any) -> list[Result]:
        """What a call returned as records of results, with the protocol of each."""
        held_out = self.queries is not None
        bank = f"{len(self.bank)} training pictures" + ("" if held_out else ", each without itself")
        protocols = {
            "knn": ("top-1", f"weighted k-NN, k={self.k}, cosine, temperature {TEMPERATURE}; bank: {bank}"),
            "linear": ("top-1", f"ridge classifier on standardised features, penalty by leave-one-out; fit: {bank}"),
            "rankme": ("effective rank", f"RankMe of {len(self.bank)} training pictures"),
        }
        queries = self.queries if self.queries is not None else self.bank
        return [
            new_result(
                task=task,
                metric=metric,
                protocol=f"online evaluation: {protocol}",
                split="val" if held_out and task != "rankme" else "train",
                n=len(self.bank if task == "rankme" else queries),
                value=figures[task],
                **facts,
            )
            for task, (metric, protocol) in protocols.items()
            if task in figures
        ]


class _Sample(Sequence[Picture]):
    """At most ``most`` pictures at even distances in the source's order, which is mostly sorted by class."""

    def __init__(self, pictures: ImageFolder, most: int) -> None:
        count = min(most, len(pictures))
        self._pictures = pictures
        self._chosen = [i * len(pictures) // count for i in range(count)]
        self.labels = torch.tensor([pictures.labels[i] for i in self._chosen]) if pictures.classes else None

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> Picture:  # type: ignore[override]
        return self._pictures.open(self._chosen[index])


def _embed(encoder: Encoder, sample: _Sample, workers: int) -> tuple[Tensor, Tensor | None]:
    """Embeddings and labels of the pictures that can be read; the others are named where they are trained on."""
    parts: list[Tensor] = []
    unreadable: set[int] = set()
    for embeddings, errors in extract_batches(encoder, sample, batch_size=256, workers=workers):
        parts.append(embeddings)
        unreadable |= errors.keys()
    readable = [index for index in range(len(sample)) if index not in unreadable]
    return torch.cat(parts), None if sample.labels is None else sample.labels[readable]
