"""Whether a file gives what the encoder gives: at other shapes than the traced one, on real pictures, as neighbours."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sslhsic_transfer.adapters.onnx.dense.info import DenseInfo
from sslhsic_transfer.adapters.onnx.head import LinearHead
from sslhsic_transfer.adapters.onnx.info import OnnxInfo, Precision
from sslhsic_transfer.adapters.onnx.runtime.encoder import OnnxEncoder
from sslhsic_transfer.adapters.onnx.runtime.pictures import normalized
from sslhsic_transfer.errors import VerificationError
from sslhsic_transfer.evaluate.knn import knn_predict
from sslhsic_transfer.image_folder import ImageFolder
from sslhsic_transfer.images import evenly, to_uint8_array
from sslhsic_transfer.models.config import STAGES
from sslhsic_transfer.models.encoder import Encoder
from sslhsic_transfer.models.modes import evaluating
from sslhsic_transfer.sample import sign_digits

_SHAPES = ((1, 65, 97), (7, 64, 80), (2, 131, 96), (3, 33, 224))  # pictures, height, width
_BANK, _QUERIES = 200, 100
_NEIGHBOURS = 20
_AT_ONCE = 25  # pictures
_MARKS = {(True, True): "ok    ", (True, False): "FAILED", (False, True): "      "}  # whether bound, whether passed


@dataclass(frozen=True)
class Bounds:
    """What a file of one precision must reach.

    Attributes:
        relative: largest difference over the largest value; None: not asked, as rounding is meant.
        cosine: mean over real pictures.
        smallest_cosine: over real pictures; None: not asked, as single pictures may be rounded badly.
        agreement: share of pictures that their neighbours in the embedding put into the same class.
    """

    relative: float | None
    cosine: float
    smallest_cosine: float | None
    agreement: float


BOUNDS: dict[Precision, Bounds] = {
    "fp32": Bounds(relative=1e-4, cosine=0.9999, smallest_cosine=0.9999, agreement=0.97),
    "fp16": Bounds(relative=None, cosine=0.9999, smallest_cosine=0.9999, agreement=0.97),
    "int8": Bounds(relative=None, cosine=0.99, smallest_cosine=None, agreement=0.8),
}


@dataclass(frozen=True)
class Check:
    """One comparison.

    Attributes:
        name: what was compared.
        value: what was found.
        bound: what was asked for; None where the value is only told.
        at_most: whether the bound is an upper one.
        pictures: how many real pictures were compared; None where it was noise.
    """

    name: str
    value: float
    bound: float | None
    at_most: bool = False
    pictures: int | None = None

    @property
    def passed(self) -> bool:
        """Whether the bound holds; NaN passes none."""
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
        info: what it says of itself.
        checks: what was compared.
    """

    path: Path
    info: OnnxInfo | DenseInfo
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every bound holds."""
        return all(check.passed for check in self.checks)

    def value(self, name: str) -> float:
        """The figure of the first check whose name begins so.

        Raises:
            KeyError: there is none.
        """
        for check in self.checks:
            if check.name.startswith(name):
                return check.value
        raise KeyError(name)

    def __str__(self) -> str:
        return "\n".join([f"{self.path.name} ({self.info.precision})", *map(str, self.checks)])


@dataclass(frozen=True)
class _Reference:
    """What files are compared with, in float32."""

    encoder: Encoder
    head: LinearHead | None

    def outputs(self, images: torch.Tensor, names: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Of (B, 3, H, W) normalised pictures."""
        weight = self.encoder.conv1.weight
        maps = self.encoder.forward_stages(images.to(weight.device, weight.dtype), "c5")
        given = {stage: maps[stage] for stage in STAGES} | {"pooled": maps["c5"].mean(dim=(2, 3))}
        if self.head is not None:
            given["logits"] = self.head(given["pooled"].float().cpu())
        return {name: given[name].float().cpu().numpy() for name in names}

    def of_pictures(self, folder: ImageFolder, names: Sequence[str], load: _Loader) -> dict[str, NDArray[np.float32]]:
        """Of all of a folder's."""
        parts: list[dict[str, NDArray[np.float32]]] = []
        for start in range(0, len(folder), _AT_ONCE):
            images = torch.stack([load.tensor(path) for path in folder.paths[start : start + _AT_ONCE]])
            parts.append(self.outputs(images, names))
        return _joined(parts)


def verify(
    path: str | Path, encoder: Encoder, pictures: str | Path | None = None, *, head: LinearHead | None = None
) -> VerifyReport:
    """Compare a file with the encoder that it was exported from.

    Args:
        path: the .onnx file.
        encoder: on any device; it is used in float32.
        pictures: folder of real pictures, with a sub-folder a class for the comparison of neighbours; by default those
            that came with the package.
        head: of a classifier.

    Returns:
        Every comparison made.

    Raises:
        VerificationError: the file is of other weights, or a bound does not hold; all that failed are listed.
        ModelFileError, ModelNotFoundError: it cannot be run.
    """
    path = Path(path)
    runtime = OnnxEncoder.from_pretrained(path, providers=["cpu"])
    _check_identity(path, runtime.info, encoder, head)
    reference = _Reference(encoder, head)
    bounds = BOUNDS[runtime.info.precision]
    with evaluating(encoder), torch.inference_mode():
        checks = [*_shape_checks(runtime, reference, bounds), *_picture_checks(runtime, reference, bounds, pictures)]
    report = VerifyReport(path, runtime.info, tuple(checks))
    if not report.passed:
        raise VerificationError(f"{path.name} does not give what {runtime.info.model} gives.\n{report}")
    return report


def _check_identity(path: Path, info: OnnxInfo, encoder: Encoder, head: LinearHead | None) -> None:
    expected = {
        "weights": (info.weights_sha256, encoder.weights_sha256 or info.weights_sha256),
        "network": (info.encoder, encoder.config),
        "preprocessing": (info.preprocessing, encoder.preprocessing.at_size(info.preprocessing.crop)),
        "classes": (info.classes, head.classes if head else ()),
    }
    if odd := [f"{name}: {found} in the file, {own} here" for name, (found, own) in expected.items() if found != own]:
        raise VerificationError("\n".join([f"{path} was exported from another encoder.", *odd]))


def _shape_checks(runtime: OnnxEncoder, reference: _Reference, bounds: Bounds) -> list[Check]:
    """Normalised noise of several shapes, or of the file's own where it is fixed."""
    if runtime.info.input != "normalized":
        return []
    generator = torch.Generator().manual_seed(0)
    checks = []
    batch, _, *sides = runtime.session.get_inputs()[0].shape
    for count, height, width in fitting(_SHAPES, (batch, *sides)):
        images = torch.randn(count, 3, height, width, generator=generator)
        expected = reference.outputs(images, runtime.info.outputs)
        found = runtime.run(images.numpy(), runtime.info.outputs)
        worst = max(relative_error(found[name], expected[name]) for name in expected)
        checks.append(
            Check(f"relative error at {count} × 3 × {height} × {width}", worst, bounds.relative, at_most=True)
        )
    return checks


def fitting(shapes: Sequence[tuple[int, int, int]], dims: Sequence[int | str]) -> list[tuple[int, int, int]]:
    """Shapes (pictures, height, width) as a file takes them, each once.

    Args:
        shapes: those wanted.
        dims: of the file's input, likewise: a number where it is fixed, a name where it is not.
    """
    batch, height, width = (side if isinstance(side, int) else None for side in dims)
    return list(dict.fromkeys((batch or n, height or h, width or w) for n, h, w in shapes))


def _picture_checks(
    runtime: OnnxEncoder, reference: _Reference, bounds: Bounds, pictures: str | Path | None
) -> list[Check]:
    """Cosine of every output on real pictures, and the classes that neighbours vote for."""
    bank, queries = _real_pictures(pictures)
    load = _loader(runtime)
    expected = reference.of_pictures(queries, runtime.info.outputs, load)
    found = _of_pictures_by_file(runtime, queries, load)
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
                (_of_pictures_by_file(runtime, bank, load)["pooled"], found["pooled"]),
            )
        ]
        agreement = (votes[0] == votes[1]).float().mean().item()
        checks.append(Check(f"{_NEIGHBOURS}-NN agreement", agreement, bounds.agreement, pictures=len(queries)))
    return checks


def compared_folder(pictures: str | Path | None) -> Path:
    """Where the pictures lie that `verify` compares: the user's folder, or the test pictures that came along."""
    return sign_digits().test if pictures is None else Path(pictures)


def _real_pictures(folder: str | Path | None) -> tuple[ImageFolder, ImageFolder]:
    """A bank and queries, spread evenly over what there is."""
    compared = ImageFolder.scan(compared_folder(folder))
    if folder is None:
        return _some(ImageFolder.scan(sign_digits().train), _BANK), _some(compared, _QUERIES)
    everything = _some(compared, 3 * _QUERIES)
    indices = range(len(everything))
    return everything.subset(i for i in indices if i % 3), everything.subset(i for i in indices if not i % 3)


def _some(folder: ImageFolder, count: int) -> ImageFolder:
    return folder.subset(evenly(len(folder), min(count, len(folder))))


def _of_pictures_by_file(runtime: OnnxEncoder, folder: ImageFolder, load: _Loader) -> dict[str, NDArray[np.float32]]:
    parts = [
        runtime.run(batch, runtime.info.outputs)
        for start in range(0, len(folder), _AT_ONCE)
        for batch in load.batches([to_uint8_array(path) for path in folder.paths[start : start + _AT_ONCE]])
    ]
    return _joined(parts)


@dataclass(frozen=True)
class _Loader:
    """Pictures as the network's input and as the file's.

    Attributes:
        tensor: a file -> (3, H, W) normalised.
        batches: (H, W, 3) uint8 pictures of any size -> what the file takes.
    """

    tensor: Callable[[Path], torch.Tensor]
    batches: Callable[[Sequence[NDArray[np.uint8]]], list[NDArray[Any]]]


def _loader(runtime: OnnxEncoder) -> _Loader:
    """By the file's own preprocessing; where its fixed size is no square, which no preprocessing makes, by resizing."""
    preprocessing, sides = runtime.preprocessing, runtime.sides
    if None in sides or sides == (preprocessing.crop, preprocessing.crop):
        return _Loader(preprocessing.transform(), runtime.batches)

    def resized(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.asarray(Image.fromarray(picture).resize(sides[::-1], Image.Resampling.BICUBIC))

    def tensor(path: Path) -> torch.Tensor:
        return torch.from_numpy(normalized(resized(to_uint8_array(path)), preprocessing))

    def batches(pictures: Sequence[NDArray[np.uint8]]) -> list[NDArray[Any]]:
        return runtime.batches_of([resized(picture) for picture in pictures])

    return _Loader(tensor, batches)


def _joined(parts: Sequence[dict[str, NDArray[np.float32]]]) -> dict[str, NDArray[np.float32]]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def relative_error(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Largest difference over the largest value expected."""
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-12))


def _cosines(found: NDArray[np.float32], expected: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of each picture's values."""
    a, b = (values.reshape(len(values), -1).astype(np.float64) for values in (found, expected))
    cosines: NDArray[np.float64] = (a * b).sum(1) / np.maximum(
        np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12
    )
    return cosines
