"""Verification of a file against its encoder: at shapes other than the traced one, on real pictures, and by k-NN."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sslhsic_transfer.adapters.onnx.dense.info import DenseInfo
from sslhsic_transfer.adapters.onnx.head import LinearHead
from sslhsic_transfer.adapters.onnx.info import FilePrecision, OnnxInfo
from sslhsic_transfer.adapters.onnx.reference import Reference, loader_of, of_pictures_by_file, real_pictures
from sslhsic_transfer.adapters.onnx.runtime.encoder import OnnxEncoder
from sslhsic_transfer.errors import VerificationError
from sslhsic_transfer.hub.encoder import Encoder
from sslhsic_transfer.metrics.knn import knn_predict
from sslhsic_transfer.models.modes import plain_copy

_SHAPES = ((1, 65, 97), (7, 64, 80), (2, 131, 96), (3, 33, 224))  # pictures, height, width
_NEIGHBOURS = 20
_MARKS = {(True, True): "ok    ", (True, False): "FAILED", (False, True): "      "}  # keys: has a bound, passed


@dataclass(frozen=True)
class Bounds:
    """Bounds that a file of one precision must satisfy.

    Attributes:
        relative: largest difference over the largest value; None: not required, as rounding is intended.
        cosine: mean cosine over real pictures.
        smallest_cosine: smallest cosine over real pictures; None: not required, as rounding may affect a picture badly.
        agreement: share of pictures whose neighbors in both embeddings vote for the same class.
    """

    relative: float | None
    cosine: float
    smallest_cosine: float | None
    agreement: float


BOUNDS: dict[FilePrecision, Bounds] = {
    "fp32": Bounds(relative=1e-4, cosine=0.9999, smallest_cosine=0.9999, agreement=0.97),
    "fp16": Bounds(relative=None, cosine=0.9999, smallest_cosine=0.9999, agreement=0.97),
    "int8": Bounds(relative=None, cosine=0.99, smallest_cosine=None, agreement=0.8),
}


@dataclass(frozen=True)
class Check:
    """Result of one comparison.

    Attributes:
        name: the quantity that was compared.
        value: its value.
        bound: its bound; None if the value is only reported.
        at_most: whether the bound is an upper one.
        pictures: number of real pictures that were compared; None if the input was noise.
    """

    name: str
    value: float
    bound: float | None
    at_most: bool = False
    pictures: int | None = None

    @property
    def passed(self) -> bool:
        """True if the bound holds; NaN fails any bound."""
        if self.bound is None:
            return True
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    def __str__(self) -> str:
        where = "" if self.pictures is None else f" on {self.pictures} pictures"
        asked = "" if self.bound is None else f" ({'at most' if self.at_most else 'at least'} {self.bound:g})"
        return f"{_MARKS[self.bound is not None, self.passed]} {self.name}{where}: {self.value:.6g}{asked}"


@dataclass(frozen=True)
class VerifyReport:
    """All comparisons of a file with the network that it comes from.

    Attributes:
        path: the file.
        info: its metadata.
        checks: the comparisons.
    """

    path: Path
    info: OnnxInfo | DenseInfo
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """True if every bound holds."""
        return all(check.passed for check in self.checks)

    def value(self, name: str) -> float:
        """Return the value of the first check whose name starts with ``name``.

        Raises:
            KeyError: there is no such check.
        """
        for check in self.checks:
            if check.name.startswith(name):
                return check.value
        raise KeyError(name)

    def __str__(self) -> str:
        return "\n".join([f"{self.path.name} ({self.info.precision})", *map(str, self.checks)])


def verify(
    path: str | Path, encoder: Encoder, pictures: str | Path | None = None, *, head: LinearHead | None = None
) -> VerifyReport:
    """Compare a file with the encoder that it was exported from.

    Args:
        path: the .onnx file.
        encoder: the encoder, in any mode and precision, on any device; a float32 copy of it on the CPU is compared.
        pictures: a folder of real pictures, with one sub-folder for each class to compare neighbors; by default the
            bundled ones.
        head: the linear layer of a classifier.

    Returns:
        A report of all comparisons.

    Raises:
        VerificationError: the file has other weights, or a bound does not hold; the message lists all failures.
        ModelFileError, ModelNotFoundError: the file cannot be run.
    """
    path = Path(path)
    runtime = OnnxEncoder.from_pretrained(path, providers=["cpu"])
    _check_identity(path, runtime, encoder, head)
    reference = Reference(plain_copy(encoder), head)
    bounds = BOUNDS[runtime.info.precision]
    with torch.inference_mode():
        checks = [*_shape_checks(runtime, reference, bounds), *_picture_checks(runtime, reference, bounds, pictures)]
    report = VerifyReport(path, runtime.info, tuple(checks))
    if not report.passed:
        raise VerificationError(f"{path.name} does not give what {runtime.info.model} gives.\n{report}")
    return report


def _check_identity(path: Path, runtime: OnnxEncoder, encoder: Encoder, head: LinearHead | None) -> None:
    info, preprocessing = runtime.info, encoder.preprocessing
    if info.input == "pictures" or runtime.sides == (info.preprocessing.crop,) * 2:  # its size may differ
        preprocessing = preprocessing.at_size(info.preprocessing.crop)
    expected = {
        "weights": (info.weights_sha256, encoder.weights_sha256 or info.weights_sha256),
        "network": (info.encoder, encoder.config),
        "preprocessing": (info.preprocessing, preprocessing),
        "classes": (info.classes, head.classes if head else ()),
    }
    if odd := [f"{name}: {found} in the file, {own} here" for name, (found, own) in expected.items() if found != own]:
        raise VerificationError("\n".join([f"{path} was exported from another encoder.", *odd]))


def _shape_checks(runtime: OnnxEncoder, reference: Reference, bounds: Bounds) -> list[Check]:
    """Compare outputs on normalized noise of several shapes, or of the file's shape where it is fixed."""
    if runtime.info.input != "normalized":
        return []
    generator = torch.Generator().manual_seed(0)
    checks = []
    batch, _, *sides = runtime.session.get_inputs()[0].shape
    for count, height, width in fit_shapes(_SHAPES, (batch, *sides)):
        images = torch.randn(count, 3, height, width, generator=generator)
        expected = reference.outputs(images, runtime.info.outputs)
        found = runtime.run(images.numpy(), runtime.info.outputs)
        worst = max(relative_error(found[name], expected[name]) for name in expected)
        checks.append(
            Check(f"relative error at {count} × 3 × {height} × {width}", worst, bounds.relative, at_most=True)
        )
    return checks


def fit_shapes(shapes: Sequence[tuple[int, int, int]], dims: Sequence[int | str]) -> list[tuple[int, int, int]]:
    """Adapt shapes (pictures, height, width) to a file's fixed dimensions, without duplicates.

    Args:
        shapes: the shapes wanted.
        dims: the same dimensions of the file's input: a number if fixed, a name if not.
    """
    batch, height, width = (side if isinstance(side, int) else None for side in dims)
    return list(dict.fromkeys((batch or n, height or h, width or w) for n, h, w in shapes))


def _picture_checks(
    runtime: OnnxEncoder, reference: Reference, bounds: Bounds, pictures: str | Path | None
) -> list[Check]:
    """Compare every output on real pictures by cosine, and the classes that neighbors vote for."""
    bank, queries = real_pictures(pictures)
    load = loader_of(runtime)
    expected = reference.of_pictures(queries, runtime.info.outputs, load)
    found = of_pictures_by_file(runtime, queries, load)
    checks = []
    for name in expected:
        cosines = _cosines(found[name], expected[name])
        checks.append(Check(f"mean cosine of {name}", float(cosines.mean()), bounds.cosine, pictures=len(queries)))
        least = Check(f"smallest cosine of {name}", float(cosines.min()), bounds.smallest_cosine, pictures=len(queries))
        checks.append(least)
    if "logits" in expected:
        same = float((found["logits"].argmax(axis=1) == expected["logits"].argmax(axis=1)).mean())
        checks.append(Check("agreement of the likeliest class", same, bounds.agreement, pictures=len(queries)))
    if "pooled" in expected and bank.classes:
        labels = torch.tensor(bank.labels)
        votes = [
            knn_predict(torch.from_numpy(vectors), labels, torch.from_numpy(own), k=_NEIGHBOURS)
            for vectors, own in (
                (reference.of_pictures(bank, ["pooled"], load)["pooled"], expected["pooled"]),
                (of_pictures_by_file(runtime, bank, load)["pooled"], found["pooled"]),
            )
        ]
        agreement = (votes[0] == votes[1]).float().mean().item()
        checks.append(Check(f"{_NEIGHBOURS}-NN agreement", agreement, bounds.agreement, pictures=len(queries)))
    return checks


def relative_error(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Compute the largest difference, divided by the largest expected value."""
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-12))


def _cosines(found: NDArray[np.float32], expected: NDArray[np.float32]) -> NDArray[np.float64]:
    """Compute the cosine of each picture's values."""
    a, b = (values.reshape(len(values), -1).astype(np.float64) for values in (found, expected))
    cosines: NDArray[np.float64] = (a * b).sum(1) / np.maximum(
        np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12
    )
    return cosines
