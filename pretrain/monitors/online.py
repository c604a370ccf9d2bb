"""Online evaluation of the encoder: k-NN, linear classifier and RankMe on pictures of the run's own data."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sslhsic_transfer.data.images import Pictures, to_rgb
from sslhsic_transfer.data.sources import PretrainingData, Stream
from sslhsic_transfer.embed.extract import extract_batches
from sslhsic_transfer.hub.encoder import Encoder
from sslhsic_transfer.metrics.knn import TEMPERATURE, knn_accuracy
from sslhsic_transfer.metrics.rank import rankme
from sslhsic_transfer.metrics.ridge import ridge_accuracy
from sslhsic_transfer.pretrain.sections import MonitorSettings
from sslhsic_transfer.results import Result, new_result


class OnlineEvaluation:
    """Evaluation of an encoder's embeddings on a sample of the run's pictures.

    Without labels it computes RankMe only. With labels it adds a weighted k-NN and a ridge classifier, a linear probe
    in closed form. Queries come from the validation split; if only one split has labels, its pictures query each other,
    each without itself. Test pictures are never used, and pictures that cannot be read are left out.

    Args:
        data: the run's data; a stream cannot be sampled.
        settings: the number of neighbors, and of pictures, which are spread evenly over the classes.
    """

    def __init__(self, data: PretrainingData, settings: MonitorSettings) -> None:
        self.k = settings.knn_k
        splits = {"train": data.train, "val": data.validation}
        sampled = {
            name: _Sample(split, settings.images)
            for name, split in splits.items()
            if split is not None and not isinstance(split, Stream)
        }
        labelled = [name for name, sample in sampled.items() if sample.labels is not None]
        self.bank_split = next(iter([*labelled, *sampled]), "")
        self.bank = sampled.get(self.bank_split)
        self.queries = sampled["val"] if len(labelled) == 2 else None

    def __call__(self, encoder: Encoder, workers: int = 0) -> dict[str, float]:
        """Compute ``rankme`` and, with labels, the accuracies ``knn`` and ``linear``, 0 to 1; nothing for a stream."""
        if self.bank is None:
            return {}
        features, labels = _embed(encoder, self.bank, workers)
        figures = {"rankme": rankme(features)}
        if labels is None:
            return figures
        queries = (None, None) if self.queries is None else _embed(encoder, self.queries, workers)
        return {
            "knn": knn_accuracy(features, labels, *queries, k=self.k),
            "linear": ridge_accuracy(features, labels, *queries),
        } | figures

    def records(self, figures: Mapping[str, float], **facts: Any) -> list[Result]:
        """Convert the figures that a call returned to result records, each with its protocol."""
        if self.bank is None:
            return []
        alone = "" if self.queries else ", each without itself"
        bank = f"{len(self.bank)} pictures of {self.bank_split}"
        protocols = {
            "knn": f"weighted k-NN, k={self.k}, cosine, temperature {TEMPERATURE}; bank: {bank}{alone}",
            "linear": f"ridge classifier on standardized features, penalty by leave-one-out; fit: {bank}{alone}",
            "rankme": f"RankMe of {bank}",
        }
        return [
            new_result(
                task=task,
                metric="effective rank" if task == "rankme" else "top-1",
                protocol=f"online evaluation: {protocol}",
                split="val" if self.queries and task != "rankme" else self.bank_split,
                n=len(self.queries if self.queries and task != "rankme" else self.bank),
                value=figures[task],
                **facts,
            )
            for task, protocol in protocols.items()
            if task in figures
        ]


class _Sample(Sequence[Image.Image]):
    """At most ``most`` pictures, evenly spaced in the order of their classes."""

    def __init__(self, pictures: Pictures, most: int) -> None:
        count = min(most, len(pictures))
        labels = np.asarray(pictures.labels if pictures.classes else np.zeros(len(pictures), np.int64))
        order = labels.argsort(kind="stable")
        self._pictures = pictures
        self._chosen = order[[i * len(order) // count for i in range(count)]]
        self.labels = torch.from_numpy(labels[self._chosen]) if pictures.classes else None

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, place: Any) -> Any:
        """Read one picture in RGB.

        Raises:
            ImageError: the picture cannot be read.
        """
        with self._pictures.open(int(self._chosen[place])) as image:
            return to_rgb(image)


def _embed(encoder: Encoder, sample: _Sample, workers: int) -> tuple[Tensor, Tensor | None]:
    """Compute embeddings and labels of the readable pictures; the loaders of the run report the others."""
    parts: list[Tensor] = []
    unreadable: set[int] = set()
    for batch in extract_batches(encoder, sample, batch_size=256, workers=workers):
        parts.append(batch.outputs["pooled"])
        unreadable |= batch.errors.keys()
    readable = [index for index in range(len(sample)) if index not in unreadable]
    return torch.cat(parts), None if sample.labels is None else sample.labels[readable]
