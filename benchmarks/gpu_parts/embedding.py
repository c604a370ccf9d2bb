"""Embedding a folder: reading alone, the network alone, ours, timm's loader loop, transformers' pipeline.

All use the same weights, from one model folder, and the same pictures at 224 pixels. Speeds are those of the steady
state, after the readers' first round; that of `embed_folder` counts everything, from loading the model to the file.
"""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from benchmarks.gpu_parts.clock import forget, peak_gib, rate, seconds_of
from benchmarks.gpu_parts.report import NOT_RUN, Figure, Report, Row
from benchmarks.gpu_parts.settings import Settings
from sslhsic_transfer import Encoder, Preprocessing, create_encoder, from_pretrained
from sslhsic_transfer._devices import tuned_convolutions
from sslhsic_transfer._precision import Precision
from sslhsic_transfer.data.image_folder import ImageFolder
from sslhsic_transfer.embed import embed_folder
from sslhsic_transfer.embed.extract import extract_batches
from sslhsic_transfer.errors import SSLHSICError

_UNIT = "pictures/s"
_READING = "reading alone"
_PEERS = ["timm's loader and loop, bf16", "transformers' pipeline, bf16"]


def run(report: Report, settings: Settings) -> None:
    """Measure all, one after the other."""
    job = _Job(settings, _model_folder(report, settings))
    measure = partial(_measure, report, settings)
    measure(_READING, job.reading)
    for precision in ("bf16", "fp32"):
        measure(f"network alone, {precision}", partial(job.network, precision))
        measure(f"ours, {precision}", partial(job.ours, precision))
    measure("embed_folder, bf16, from start to file", job.to_file)
    measure(_PEERS[0], job.timm, peer=True)
    measure(_PEERS[1], job.transformers, peer=True)
    for precision in ("bf16", "fp32"):
        bounds = [_READING, f"network alone, {precision}"]
        report.ratio(f"ours / slower of reading and network, {precision}", f"ours, {precision}", bounds, at_least=0.9)
    report.ratio("ours / best peer, bf16", "ours, bf16", _PEERS, at_least=1.5, best=True)


def _measure(report: Report, settings: Settings, name: str, function: object, *, peer: bool = False) -> None:
    forget(settings.place)
    report.measure(name, _UNIT, function, peer=peer)


def _model_folder(report: Report, settings: Settings) -> Path:
    """Return a folder of the published weights with the usual preprocessing; untrained ones where they are missing."""
    folder = settings.work / ("model-quick" if settings.quick else "model")
    name = "resnet18" if settings.quick else "resnet50"
    try:
        encoder = from_pretrained(f"sslhsic-r{name.removeprefix('resnet')}", local_files_only=True)
    except SSLHSICError as error:
        report.add(Row("published weights", "", None, state=NOT_RUN, note=f"untrained {name} instead: {error}"))
        encoder = create_encoder(name)
    encoder.preprocessing = Preprocessing.for_size(64) if settings.quick else Preprocessing()
    return encoder.save_pretrained(folder, overwrite=True)


class _NoNetwork(Encoder):
    """An encoder that costs nothing."""

    def forward(self, images: Tensor) -> Tensor:
        """Give zeros."""
        return images.new_zeros(len(images), self.feature_dim)


class _Paths(Dataset[str]):
    """The data set of paths that transformers' pipeline reads with several workers."""

    def __init__(self, paths: tuple[Path, ...]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> str:
        return str(self.paths[index])


class _Job:
    """The same job, done by different libraries."""

    def __init__(self, settings: Settings, model: Path) -> None:
        self.settings, self.place, self.model = settings, settings.place, model
        self.folder = ImageFolder.scan(settings.folder("large"))
        self.batch_size = settings.batch_size // 4
        self.warm_up = settings.workers * self.batch_size  # pictures of the readers' first round
        self.first: Tensor | None = None  # our embeddings of the first batch

    def reading(self) -> Figure:
        """Run our readers, with a network that costs nothing."""
        encoder = self._encoder()
        nothing = _NoNetwork(encoder.config, encoder.preprocessing).to(self.place)
        return Figure(rate(map(len, self._batches(nothing, "fp32")), self.warm_up))

    def network(self, precision: Precision) -> Figure:
        """Run the network on batches that are ready."""
        encoder, side = self._encoder(), self._encoder().preprocessing.crop
        images = torch.randn(self.batch_size, 3, side, side, device=self.place).to(memory_format=torch.channels_last)

        def embed() -> None:
            with torch.inference_mode(), self._autocast(precision):
                encoder.backbone.forward_pooled(images)

        with tuned_convolutions():
            return Figure(self.batch_size / seconds_of(embed, self.place), peak_gib(self.place))

    def ours(self, precision: Precision) -> Figure:
        """Embed by the function that `embed_folder` and the protocols use."""
        return self._figure(self._batches(self._encoder(), precision))

    def to_file(self) -> Figure:
        """Do everything, as the command does."""
        output = self.settings.work / "embeddings.parquet"
        start = time.perf_counter()
        report = embed_folder(
            self.model,
            self.folder.root,
            output,
            batch_size=self.batch_size,
            workers=self.settings.workers,
            device=self.settings.device,
            precision="bf16",
            overwrite=True,
            progress=False,
        )
        return Figure(report.rows / (time.perf_counter() - start), {"pictures": report.rows})

    def timm(self) -> Figure:
        """Run the loop of timm's inference.py."""
        import timm
        from timm.data import ImageDataset, create_loader, resolve_model_data_config

        network = timm.create_model(f"local-dir:{self.model}", pretrained=True, num_classes=0).eval()
        network = network.to(self.place, memory_format=torch.channels_last)
        config = resolve_model_data_config(network)
        loader = create_loader(
            ImageDataset(str(self.folder.root)),
            batch_size=self.batch_size,
            is_training=False,
            use_prefetcher=self.settings.device == "cuda",
            num_workers=self.settings.workers,
            pin_memory=self.settings.device == "cuda",
            device=self.place,
            **{name: config[name] for name in ("input_size", "interpolation", "mean", "std", "crop_pct", "crop_mode")},
        )

        def batches() -> Iterator[Tensor]:
            for images, _ in loader:
                images = images.to(self.place, memory_format=torch.channels_last)
                with torch.inference_mode(), self._autocast("bf16"):
                    yield network(images).float().cpu()

        with tuned_convolutions():
            return self._figure(batches())

    def transformers(self) -> Figure:
        """Run transformers' pipeline for features of pictures."""
        from transformers import pipeline

        pipe = pipeline(
            "image-feature-extraction", model=str(self.model), device=self.place, dtype=torch.bfloat16, pool=True
        )
        found = pipe(
            _Paths(self.folder.paths),
            batch_size=self.batch_size,
            num_workers=self.settings.workers,
            return_tensors=True,
        )
        return self._figure(embedding.float().cpu().reshape(1, -1) for embedding in found)

    def _encoder(self) -> Encoder:
        encoder = from_pretrained(self.model, device=self.place)
        return encoder.to(memory_format=torch.channels_last)

    def _batches(self, encoder: Encoder, precision: Precision) -> Iterator[Tensor]:
        found = extract_batches(
            encoder,
            self.folder.paths,
            batch_size=self.batch_size,
            workers=self.settings.workers,
            precision=precision,
        )
        return (batch.outputs["pooled"] for batch in found)

    def _autocast(self, precision: Precision) -> torch.autocast:
        return torch.autocast(self.settings.device, torch.bfloat16, enabled=precision == "bf16")

    def _figure(self, batches: Iterator[Tensor]) -> Figure:
        """Return the speed, and how near the first embeddings are to ours."""
        rows: list[Tensor] = []

        def counts() -> Iterator[int]:
            for batch in batches:
                if sum(map(len, rows)) < self.batch_size:
                    rows.append(batch)
                yield len(batch)

        found = rate(counts(), self.warm_up)
        first = torch.cat(rows)
        if self.first is None:
            self.first = first
        near = F.cosine_similarity(first, self.first).min().item()
        return Figure(found, {"least cosine to ours": near} | peak_gib(self.place))
