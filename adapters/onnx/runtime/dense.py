"""`OnnxDenseModel`, an exported segmentation, depth or detection model that runs without torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslhsic_transfer.adapters.onnx.dense.info import DenseInfo
from sslhsic_transfer.adapters.onnx.runtime.finite import count_non_finite
from sslhsic_transfer.adapters.onnx.runtime.model_file import ModelFile, inspect
from sslhsic_transfer.adapters.onnx.runtime.operators import DENSE
from sslhsic_transfer.adapters.onnx.runtime.pictures import normalized, with_short_side, with_shortest_edge
from sslhsic_transfer.adapters.onnx.runtime.resampling import resize_maps
from sslhsic_transfer.adapters.onnx.runtime.session import (
    ProviderReport,
    Ranked,
    check_interface,
    check_values,
    open_session,
    run_session,
)
from sslhsic_transfer.data.images import Picture, to_uint8_array
from sslhsic_transfer.data.labelled.detection import Boxes
from sslhsic_transfer.errors import InputError, ModelFileError

Array = NDArray[Any]


class OnnxDenseModel:
    """An exported dense model.

    >>> model = OnnxDenseModel.from_file("camvid.onnx")
    >>> classes = model.predict("street.jpg")  # same as `load_transferred(…).predict`, without torch
    >>> model.run(images)["logits"].shape  # (B, 3, H, W) float32, normalized
    (2, 32, 360, 480)

    Args:
        session: a session of ONNX Runtime.
        info: the file's metadata.
        providers: report of the session's providers.

    Attributes:
        session: the session, for further features of ONNX Runtime.
        info: task, names of the classes, hash of the weights, …
        providers: the providers in use, and those left out.
    """

    def __init__(self, session: Any, info: DenseInfo, providers: ProviderReport) -> None:
        self.session = session
        self.info = info
        self.providers = providers
        self._input = session.get_inputs()[0]
        self._file: ModelFile | None = None

    def __repr__(self) -> str:
        """Show model, task, outputs and providers."""
        info, used = self.info, ", ".join(self.providers.used)
        return f"OnnxDenseModel({info.model}, {info.task}: {', '.join(info.outputs)}; on {used})"

    @classmethod
    def from_file(
        cls, path: str | Path, *, providers: Sequence[str] | None = None, threads: int | None = None
    ) -> "OnnxDenseModel":
        """Load an exported dense model.

        Args:
            path: the .onnx file.
            providers: as in `OnnxEncoder.from_pretrained`.
            threads: number of threads of one operator; None: as many as this process, or its container, may use.

        Raises:
            ModelNotFoundError: there is no such file.
            ModelFileError: it is damaged, malicious or not an exported dense model.
            ConfigError: its metadata or the arguments are invalid.
            MissingDependencyError: onnxruntime is not installed.
        """
        model = inspect(path, DENSE)
        info = DenseInfo.of(model.metadata, str(path))
        session, report = open_session(model, providers, threads)
        check_interface(session, info.input == "normalized", _outputs(info), Path(path))
        made = cls(session, info, report)
        made._file = model
        return made

    def predict(self, picture: Picture) -> Any:
        """Predict the classes, depth or objects of a picture, including its preprocessing.

        Args:
            picture: a path, a PIL image or a uint8 array (H, W, 3) or (H, W).

        Returns:
            Segmentation: (H, W) uint8, indices into ``info.classes``. Detection: `Boxes`. Depth: (H, W) float32
            meters. All at the picture's own size.

        Raises:
            ImageError: it is not a picture.
            InputError: the file is fixed to another size, or lacks an output that this needs.
        """
        whole = to_uint8_array(picture)
        height, width = whole.shape[:2]
        seen = self._resized(whole)
        found = self.run(self._prepared(seen)[None])
        if self.info.task == "detection":
            return self._boxes(found, (width / seen.shape[1], height / seen.shape[0]))
        if self.info.task == "depth":
            return resize_maps(found["depth"][0], height, width)[0]
        if "logits" in found:
            return resize_maps(found["logits"][0], height, width).argmax(axis=0).astype(np.uint8)
        if seen.shape != whole.shape:
            raise InputError(
                "The file gives classes of a resized picture, which cannot be brought to the picture's own size "
                "exactly. Export it again, with --outputs logits."
            )
        return found["classes"][0]

    def run(self, images: Array) -> dict[str, Array]:
        """Compute the file's outputs, by name.

        Args:
            images: (B, 3, H, W) float32, normalized; or (B, H, W, 3) uint8, depending on ``info.input``.

        Returns:
            The outputs listed in ``info.outputs``.

        Raises:
            InputError: shape or dtype is wrong, or values are NaN or infinite.
            ModelFileError: the outputs differ from the file's metadata.
        """
        floating = self.info.input == "normalized"
        form = "(B, 3, H, W) float32, normalized" if floating else "(B, H, W, 3) uint8"
        if not isinstance(images, np.ndarray):
            raise InputError(f"Got {type(images).__name__}; expected an array {form}. For pictures use predict(…).")
        if images.dtype != (np.float32 if floating else np.uint8) or images.ndim != 4 or 0 in images.shape:
            raise InputError(f"Got {images.dtype} of shape {images.shape}; expected {form}.")
        fixed = [side if isinstance(side, int) else None for side in self._input.shape]
        if any(wanted not in (None, side) for wanted, side in zip(fixed, images.shape, strict=True)):
            asked = ", ".join("any" if side is None else str(side) for side in fixed)
            raise InputError(f"Got images of shape {images.shape}; this file takes ({asked}).")
        if floating and count_non_finite(images):
            raise InputError("The images hold NaN or infinite values; expected finite ones.")
        if self._file is not None:
            self._file.check_pictures(images.shape)
        found = run_session(self.session, images, self.info.outputs)
        check_values(found, _outputs(self.info))
        _check_rows(found, len(images))
        return found

    def _resized(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        short, longest = self.info.resize, self.info.longest
        if short is None:
            return picture
        return with_short_side(picture, short) if longest is None else with_shortest_edge(picture, short, longest)

    def _prepared(self, picture: NDArray[np.uint8]) -> Array:
        return picture if self.info.input == "resized" else normalized(picture, self.info.preprocessing)

    def _boxes(self, found: dict[str, Array], factors: tuple[float, float]) -> Boxes:
        if missing := [name for name in ("boxes", "scores", "labels") if name not in found]:
            raise InputError(f"The file does not give {', '.join(missing)}. Export it again, with all outputs.")
        corners = found["boxes"] * np.asarray([*factors, *factors], np.float32)
        return Boxes(corners, found["scores"], found["labels"])


def _outputs(info: DenseInfo) -> dict[str, Ranked]:
    """Return types and sides of a file's outputs."""
    numbers = "tensor(float)"
    known: dict[str, Ranked] = {
        "logits": (numbers, (None, len(info.classes) or None, None, None)),
        "classes": ("tensor(uint8)", (None, None, None)),
        "depth": (numbers, (None, 1, None, None)),
        "boxes": (numbers, (None, 4)),
        "scores": (numbers, (None,)),
        "labels": ("tensor(int64)", (None,)),
        "masks": (numbers, (None, 1, None, None)),
    }
    return {name: known[name] for name in info.outputs}


def _check_rows(found: dict[str, Array], pictures: int) -> None:
    """Check that maps have one row for each picture, and detections as many boxes as scores, labels and masks."""
    maps = [len(found[name]) for name in ("logits", "classes", "depth") if name in found]
    each = {len(found[name]) for name in ("boxes", "scores", "labels", "masks") if name in found}
    if any(rows != pictures for rows in maps) or len(each) > 1:
        raise ModelFileError("The file gives other rows than one a picture or a detection. Export it again.")
