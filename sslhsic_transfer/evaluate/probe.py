"""k-NN and linear evaluation of a model on labelled folders: features once, then records of what was measured."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from sslhsic_transfer._seeds import mix_seed
from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.evaluate.features import (
    PIXEL_SIDE,
    Features,
    encoder_features,
    pixel_features,
    scan_splits,
)
from sslhsic_transfer.evaluate.knn import TEMPERATURE, knn_accuracy
from sslhsic_transfer.evaluate.linear import PENALTIES, VALIDATION_SHARE, linear_probe
from sslhsic_transfer.hub.loading import from_pretrained
from sslhsic_transfer.images import ImageFolder
from sslhsic_transfer.models.encoder import Encoder
from sslhsic_transfer.results import Result, new_result, over_seeds

Task = Literal["knn", "linear"]


@dataclass(frozen=True)
class Subject:
    """Something whose features are evaluated.

    Attributes:
        name: what the records call it.
        input: how pictures became features, for the protocol.
        train, test: features of the two splits.
        validation: features of a validation split, where there is one.
        weights_sha256: hash of the weights, where there are any.
        seed: of the weights, where they are drawn anew for each seed.
    """

    name: str
    input: str
    train: Features
    test: Features
    validation: Features | None = None
    weights_sha256: str | None = None
    seed: int | None = None


def evaluate(
    model: str | Path,
    tasks: Sequence[Task],
    *,
    train: str | Path,
    test: str | Path,
    validation: str | Path | None = None,
    floors: bool = False,
    k: int = 20,
    seeds: Sequence[int] = (0,),
    batch_size: int = 64,
    workers: int = 0,
    device: str | None = None,
    progress: bool = True,
) -> list[Result]:
    """Measure what a model's embeddings are worth.

    Args:
        model: anything that `from_pretrained` takes.
        tasks: ``"knn"``, ``"linear"`` or both.
        train: labelled folder: the bank of the k-NN, the training data of the probe.
        test: labelled folder that is tested on, once.
        validation: labelled folder on which the probe's penalty is chosen; None: a part of ``train``.
        floors: whether to measure raw pixels and the same network untrained as well.
        k: neighbours of the k-NN.
        seeds: of the untrained weights and of the probe's validation split; what depends on them is repeated, and the
            record has the mean and the deviation.
        batch_size: how many pictures go through the network at once.
        workers: processes that read pictures.
        device: where to compute; by default CUDA where there is one, else the CPU.
        progress: whether to show progress bars.

    Returns:
        A record for each subject and task, floors first.

    Raises:
        ConfigError: there is no seed.
        DataError: folders without classes, or with different ones.
        ImageError: a picture cannot be read.
    """
    if not seeds:
        raise ConfigError("Got no seeds; expected one or more.")
    extraction = _Extraction(scan_splits(train, test, validation), batch_size, workers, progress)
    encoder = from_pretrained(model, device=device or ("cuda" if torch.cuda.is_available() else "cpu"))
    results = []
    if floors:
        results += _measure([_pixels(extraction.splits)], tasks, k, seeds)
        untrained = (extraction.of(f"untrained {encoder.config.architecture}", encoder, seed) for seed in seeds)
        results += _measure(untrained, tasks, k, seeds)
    return results + _measure([extraction.of(str(model), encoder)], tasks, k, seeds)


@dataclass(frozen=True)
class _Extraction:
    """Which pictures become features, and how."""

    splits: list[ImageFolder | None]
    batch_size: int
    workers: int
    progress: bool

    def of(self, name: str, encoder: Encoder, seed: int | None = None) -> Subject:
        """Features by an encoder, or by one like it with weights drawn from a seed."""
        if seed is not None:
            encoder = _untrained(encoder, seed)
        train, test, validation = (
            None if split is None else self._embed(name, encoder, split) for split in self.splits
        )
        assert train is not None
        assert test is not None
        size = encoder.preprocessing.crop
        return Subject(name, f"embeddings at {size} px", train, test, validation, encoder.weights_sha256, seed)

    def _embed(self, name: str, encoder: Encoder, split: ImageFolder) -> Features:
        shown = f"{name}: {split.root.name}" if self.progress else None
        return encoder_features(encoder, split, batch_size=self.batch_size, workers=self.workers, progress=shown)


def _measure(subjects: Iterable[Subject], tasks: Sequence[Task], k: int, seeds: Sequence[int]) -> list[Result]:
    """A record of each task, over a subject's own seed or, for one that has none, over those of the probe."""
    measured: dict[Task, list[Result]] = {task: [] for task in tasks}
    for subject in subjects:
        for task, results in measured.items():
            own = seeds if task == "linear" and not subject.validation else seeds[:1]
            for seed in own if subject.seed is None else [subject.seed]:
                results.append(_probe(subject, task, k, seed))
    return [over_seeds(results) for results in measured.values()]


def _probe(subject: Subject, task: Task, k: int, seed: int) -> Result:
    train, test, validation = subject.train, subject.test, subject.validation
    if task == "knn":
        value = knn_accuracy(train.values, train.labels, test.values, test.labels, k=k)
        protocol = f"weighted k-NN, k={k}, cosine, temperature {TEMPERATURE}; {subject.input}"
    else:
        probe = linear_probe(
            train.values,
            train.labels,
            test.values,
            test.labels,
            validation=(validation.values, validation.labels) if validation else None,
            seed=seed,
        )
        value = probe.accuracy
        chosen_on = validation.folder.root.name if validation else f"{VALIDATION_SHARE:.0%} of {train.folder.root.name}"
        protocol = (
            f"L-BFGS logistic regression on standardised features, penalty of {len(PENALTIES)} chosen on {chosen_on}, "
            f"refit on all; {subject.input}"
        )
    root = test.folder.root.resolve()
    return new_result(
        model=subject.name,
        task=task,
        dataset=root.parent.name,
        split=root.name,
        protocol=protocol,
        metric="top-1",
        value=value,
        seeds=[seed],
        n=len(test.labels),
        weights_sha256=subject.weights_sha256,
    )


def _untrained(encoder: Encoder, seed: int) -> Encoder:
    with torch.random.fork_rng():
        torch.manual_seed(mix_seed(seed))
        untrained = Encoder(encoder.config, encoder.preprocessing)
    return untrained.to(encoder.conv1.weight.device)


def _pixels(splits: list[ImageFolder | None]) -> Subject:
    train, test, validation = (None if split is None else pixel_features(split) for split in splits)
    assert train is not None
    assert test is not None
    return Subject("raw pixels", f"{PIXEL_SIDE} × {PIXEL_SIDE} RGB", train, test, validation)
