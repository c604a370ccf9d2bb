"""k-NN and linear evaluation of a model on labeled folders. Features are computed once for all probes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from sslhsic_transfer._devices import computing_device
from sslhsic_transfer._seeds import mix_seed
from sslhsic_transfer.data.image_folder import ImageFolder
from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.evaluate.features import (
    PIXEL_SIDE,
    Features,
    encoder_features,
    pixel_features,
    scan_splits,
)
from sslhsic_transfer.hub.encoder import Encoder, from_pretrained
from sslhsic_transfer.metrics.knn import TEMPERATURE, knn_accuracy
from sslhsic_transfer.metrics.linear import PENALTIES, VALIDATION_SHARE, check_can_split, linear_probe
from sslhsic_transfer.results import Result, hardware, new_result, over_seeds, tested_on

Probe = Literal["knn", "linear"]


@dataclass(frozen=True)
class Subject:
    """A source of features to evaluate.

    Attributes:
        name: its name in the records.
        input: how pictures became features, for the record's protocol.
        train, test: features of the two splits.
        validation: features of a validation split, if there is one.
        weights_sha256: hash of the weights, if there are any.
        seed: seed of the weights, if they are random.
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
    tasks: Sequence[Probe],
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
    """Measure the quality of a model's embeddings.

    Args:
        model: a name or path for `from_pretrained`.
        tasks: ``"knn"``, ``"linear"`` or both.
        train: labeled folder: the bank of the k-NN and the training data of the probe.
        test: labeled folder for testing, used once.
        validation: labeled folder on which the probe's penalty is chosen; None uses a part of ``train``.
        floors: whether to measure raw pixels and the same network untrained as baselines.
        k: number of neighbors of the k-NN.
        seeds: seeds of the untrained weights and of the probe's validation split. Measurements that depend on them are
            repeated; their record holds mean and deviation.
        batch_size: number of pictures in a batch.
        workers: processes that read pictures.
        device: where to compute; by default an accelerator if there is one, else the CPU.
        progress: whether to show progress bars.

    Returns:
        A record for each subject and task, baselines first.

    Raises:
        ConfigError: there is no seed.
        DataError: folders have no classes, or different ones.
        ImageError: a picture cannot be read.
        InputError: there are too few pictures to choose the linear probe's penalty.
    """
    if not seeds:
        raise ConfigError("Got no seeds; expected one or more.")
    extraction = _Extraction(scan_splits(train, test, validation), batch_size, workers, progress)
    training = extraction.splits[0]
    if "linear" in tasks and validation is None and training is not None:
        check_can_split(torch.tensor(training.labels))
    place = computing_device(device)
    encoder = from_pretrained(model, device=place)
    results = []
    if floors:
        results += _measure([_pixels(extraction.splits)], tasks, k, seeds)
        untrained = (extraction.of(f"untrained {encoder.config.architecture}", encoder, seed) for seed in seeds)
        results += _measure(untrained, tasks, k, seeds)
    results += _measure([extraction.of(str(model), encoder)], tasks, k, seeds)
    return [result.model_copy(update={"hardware": hardware(place)}) for result in results]


@dataclass(frozen=True)
class _Extraction:
    """The pictures to embed, and how to read them."""

    splits: list[ImageFolder | None]
    batch_size: int
    workers: int
    progress: bool

    def of(self, name: str, encoder: Encoder, seed: int | None = None) -> Subject:
        """Return a subject's features: from an encoder, or from one like it with random weights by a seed."""
        if seed is not None:
            encoder = _untrained(encoder, seed)
        features = [None if split is None else self._embed(name, encoder, split) for split in self.splits]
        size = encoder.preprocessing.crop
        return _subject(name, f"embeddings at {size} px", features, encoder.weights_sha256, seed)

    def _embed(self, name: str, encoder: Encoder, split: ImageFolder) -> Features:
        shown = f"{name}: {split.root.name}" if self.progress else None
        return encoder_features(encoder, split, batch_size=self.batch_size, workers=self.workers, progress=shown)


def _measure(subjects: Iterable[Subject], tasks: Sequence[Probe], k: int, seeds: Sequence[int]) -> list[Result]:
    """Return one record for each task, over all seeds that it depends on."""
    measured: dict[Probe, list[Result]] = {task: [] for task in tasks}
    for subject in subjects:
        for task, results in measured.items():
            results += [_probe(subject, task, k, seed) for seed in _seeds_of(subject, task, seeds)]
    return [over_seeds(results) for results in measured.values()]


def _seeds_of(subject: Subject, task: Probe, seeds: Sequence[int]) -> Sequence[int]:
    """Return the seeds to measure: the subject's own, all if the probe draws a split, else one, as none matters."""
    if subject.seed is not None:
        return [subject.seed]
    return seeds if task == "linear" and subject.validation is None else seeds[:1]


def _probe(subject: Subject, task: Probe, k: int, seed: int) -> Result:
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
            f"L-BFGS logistic regression on standardized features, penalty of {len(PENALTIES)} chosen on {chosen_on}, "
            f"refit on all; {subject.input}"
        )
    return new_result(
        model=subject.name,
        task=task,
        protocol=protocol,
        metric="top-1",
        value=value,
        seeds=[seed],
        n=len(test.labels),
        weights_sha256=subject.weights_sha256,
        **tested_on(test.folder.root),
    )


def _untrained(encoder: Encoder, seed: int) -> Encoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix_seed(seed))
        untrained = Encoder(encoder.config, encoder.preprocessing)
    return untrained.to(encoder.device)


def _pixels(splits: list[ImageFolder | None]) -> Subject:
    features = [None if split is None else pixel_features(split) for split in splits]
    return _subject("raw pixels", f"{PIXEL_SIDE} × {PIXEL_SIDE} RGB", features)


def _subject(
    name: str, made: str, features: Sequence[Features | None], sha256: str | None = None, seed: int | None = None
) -> Subject:
    train, test, validation = features
    assert train is not None
    assert test is not None
    return Subject(name, made, train, test, validation, sha256, seed)
