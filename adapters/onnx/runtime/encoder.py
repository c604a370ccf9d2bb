"""`OnnxEncoder`, an exported encoder with the interface of `Encoder` that runs without torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sslhsic_transfer.adapters.onnx.info import POOLED, OnnxInfo, Output
from sslhsic_transfer.adapters.onnx.runtime.finite import count_non_finite
from sslhsic_transfer.adapters.onnx.runtime.locate import locate
from sslhsic_transfer.adapters.onnx.runtime.model_file import inspect
from sslhsic_transfer.adapters.onnx.runtime.pictures import normalized, resized
from sslhsic_transfer.adapters.onnx.runtime.session import (
    ProviderReport,
    Ranked,
    check_interface,
    check_values,
    open_session,
    pad_batch,
    run_session,
)
from sslhsic_transfer.data.images import Picture, as_pictures, convert_pictures, to_uint8_array
from sslhsic_transfer.errors import FingerprintError, InputError, ModelFileError
from sslhsic_transfer.hub.download import HubAccess
from sslhsic_transfer.models.config import SMALLEST_SIDE, FeatureSpec, Stage
from sslhsic_transfer.models.preprocessing import Preprocessing

Array = NDArray[Any]


class OnnxEncoder:
    """An exported encoder.

    >>> encoder = OnnxEncoder.from_pretrained("runs/demo/model/onnx/model.onnx")
    >>> encoder.embed(["cat.jpg", "dog.jpg"]).shape  # pictures in, preprocessing included
    (2, 512)
    >>> encoder(images).shape  # (B, 3, H, W) float32, normalized
    (2, 512)

    Args:
        session: a session of ONNX Runtime.
        info: the file's metadata.
        providers: report of the session's providers.

    Attributes:
        session: the session, for further features of ONNX Runtime.
        info: precision, hash of the weights, license, …
        providers: the providers in use, and those left out.
        sides: height and width that its input must have; None where they are free.
    """

    def __init__(self, session: Any, info: OnnxInfo, providers: ProviderReport) -> None:
        self.session = session
        self.info = info
        self.providers = providers
        (given,) = session.get_inputs()
        self._input = given.name
        batch = given.shape[0]
        self._batch = batch if isinstance(batch, int) else None
        self.sides = tuple(side if isinstance(side, int) else None for side in self._height_and_width(given.shape))

    def __repr__(self) -> str:
        """Show model, precision, outputs and providers."""
        info, used = self.info, ", ".join(self.providers.used)
        return f"OnnxEncoder({info.model}, {info.precision}: {', '.join(info.outputs)}; on {used})"

    @classmethod
    def from_pretrained(
        cls,
        name_or_file: str | Path,
        *,
        variant: str = "fp32",
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        token: str | bool | None = None,
        providers: Sequence[str] | None = None,
        threads: int | None = None,
    ) -> "OnnxEncoder":
        """Load an exported encoder.

        Args:
            name_or_file: a .onnx file; or a model folder, ``org/repo`` or a short name that has exported files.
            variant: ``"fp32"``, ``"fp16"`` or ``"int8"``; ignored for a .onnx file.
            revision: branch, tag or commit of a Hub repository.
            cache_dir: where downloads are kept; by default huggingface_hub's cache.
            local_files_only: whether to never use the network.
            token: access token for private repositories.
            providers: some of ``"cuda"``, ``"tensorrt"``, ``"openvino"``, ``"coreml"``, ``"cpu"``, in order of
                preference; the attribute `providers` tells which are in use. None: CUDA if available, else the CPU.
            threads: number of threads of one operator; None: as many as this process, or its container, may use.

        Raises:
            ModelNotFoundError: there is no such model, or no such variant of it.
            ModelFileError: the file is damaged, malicious or not an exported encoder.
            FingerprintError: the file, or the weights it was exported from, are not those that the name refers to.
            ConfigError, HubError: see `sslhsic_transfer.adapters.onnx.runtime.locate.locate`.
            MissingDependencyError: onnxruntime is not installed.
        """
        found = locate(name_or_file, variant, revision, HubAccess(cache_dir, local_files_only, token))
        model = inspect(found.path)
        info = OnnxInfo.of(model.metadata, str(found.path))
        if found.weights_sha256 not in (None, info.weights_sha256):
            raise FingerprintError(
                f"{found.path} was exported from weights with SHA-256 {info.weights_sha256}; those beside it have "
                f"{found.weights_sha256}. Export it again."
            )
        session, report = open_session(model, providers, threads)
        check_interface(session, info.input == "normalized", _expected(info), found.path)
        return cls(session, info, report)

    @property
    def feature_dim(self) -> int:
        """D, the width of the pooled embedding."""
        return self.info.encoder.feature_dim

    @property
    def specs(self) -> dict[Stage, FeatureSpec]:
        """Channels and stride of each feature map that the file gives."""
        return {stage: spec for stage, spec in self.info.encoder.specs.items() if stage in self.info.outputs}

    @property
    def preprocessing(self) -> Preprocessing:
        """The preprocessing that turns pictures into the encoder's input."""
        return self.info.preprocessing

    def __call__(self, images: Array) -> NDArray[np.float32]:
        """Embed a batch.

        Args:
            images: (B, 3, H, W) float32, normalized; (B, H, W, 3) uint8 for a file with preprocessing in the graph.

        Returns:
            (B, D) float32.

        Raises:
            InputError: shape or dtype is wrong, values are NaN or infinite, or the file lacks the embedding.
        """
        return self.run(images, ["pooled"])["pooled"]

    def feature_maps(self, images: Array, stages: Sequence[Stage] | None = None) -> dict[Stage, NDArray[np.float32]]:
        """Compute feature maps of a batch.

        Args:
            images: as for `__call__`.
            stages: some of the stages in `specs`; None: all of them.

        Returns:
            Feature maps (B, C, ⌈H/stride⌉, ⌈W/stride⌉) float32 by stage.
        """
        return self.run(images, list(self.specs) if stages is None else stages)  # type: ignore[return-value]

    def embed(self, images: Picture | Sequence[Picture], batch_size: int = 64) -> NDArray[np.float32]:
        """Preprocess and embed pictures.

        Args:
            images: one picture or several, each a path, a PIL image or a uint8 array (H, W, 3) or (H, W).
            batch_size: number of pictures that go through the network at once.

        Returns:
            (N, D) float32 in the order given; (0, D) for none.

        Raises:
            InputError: a picture cannot be read or used; the message names it.
        """
        return self._of_pictures(images, "pooled", self.feature_dim, batch_size)

    def classify(self, images: Picture | Sequence[Picture], batch_size: int = 64) -> NDArray[np.float32]:
        """Preprocess and classify pictures, with a file that has logits.

        Args:
            images: as for `embed`.
            batch_size: number of pictures that go through the network at once.

        Returns:
            (N, C) float32 probabilities, in the order of ``info.classes``.

        Raises:
            InputError: as for `embed`, or the file is not a classifier.
        """
        logits = self._of_pictures(images, "logits", len(self.info.classes), batch_size)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
        shares: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
        return shares

    def _of_pictures(
        self, images: Picture | Sequence[Picture], output: Output, width: int, batch_size: int
    ) -> NDArray[np.float32]:
        if batch_size < 1:
            raise InputError(f"Got batch_size={batch_size}; expected 1 or more.")
        pictures = as_pictures(images)
        parts = [np.empty((0, width), np.float32)]
        for start in range(0, len(pictures), batch_size):
            batch = convert_pictures(pictures[start : start + batch_size], to_uint8_array, first=start)
            parts += [self.run(group, [output])[output] for group in self.batches(batch)]
        return np.concatenate(parts)

    def run(self, images: Array, outputs: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Compute any of the file's outputs for a batch; one smaller than a fixed batch is filled up and cut again."""
        self._check(images)
        if not outputs or not set(outputs) <= set(self.info.outputs):
            raise InputError(
                f"Got outputs {list(outputs)}; expected some of what this file gives: {', '.join(self.info.outputs)}. "
                f"For others export it again, with --outputs."
            )
        count = len(images)
        images = pad_batch(images, self._batch)
        given = run_session(self.session, images, outputs)
        check_values(given, _expected(self.info))
        if odd := [name for name, value in given.items() if len(value) != len(images)]:
            raise ModelFileError(f"The file gives other rows than one a picture: {', '.join(odd)}. Export it again.")
        found = {name: value[:count] for name, value in given.items()}
        if any(count_non_finite(value) for value in found.values()):
            raise InputError("The features overflow on finite images. Are they normalized as `preprocessing` tells?")
        return found

    def run_on_device(self, images: Any, outputs: Sequence[str] = ("pooled",)) -> dict[str, Any]:
        """Run on the device that holds the data by IO binding, without copies to the host and back.

        Args:
            images: an ``onnxruntime.OrtValue``, on the CPU or on the session's device, such as
                ``OrtValue.ortvalue_from_numpy(array, "cuda", 0)`` or one made of a torch tensor by DLPack.
            outputs: some of the file's outputs.

        Returns:
            OrtValues on the same device by output; ``.numpy()`` copies one to the host.
        """
        device = images.device_name()
        binding = self.session.io_binding()
        binding.bind_ortvalue_input(self._input, images)
        for name in outputs:
            binding.bind_output(name, device)
        self.session.run_with_iobinding(binding)
        return dict(zip(outputs, binding.get_outputs(), strict=True))

    def batches(self, pictures: Sequence[NDArray[np.uint8]]) -> list[Array]:
        """Convert (H, W, 3) uint8 pictures, in order, to inputs of the file: batches of one size that it allows."""
        if self.info.input == "pictures":
            return self._grouped(pictures)
        return self.batches_of([resized(picture, self.preprocessing) for picture in pictures])

    def batches_of(self, pictures: Sequence[NDArray[np.uint8]]) -> list[Array]:
        """Convert pictures that already have the right size to inputs of the file, as `batches` does."""
        if self.info.input == "normalized":
            return self._grouped([normalized(picture, self.preprocessing) for picture in pictures])
        return self._grouped(pictures)

    def _grouped(self, prepared: Sequence[Array]) -> list[Array]:
        groups: list[list[Array]] = []
        for picture in prepared:
            last = groups[-1] if groups else None
            if last and last[0].shape == picture.shape and len(last) != self._batch:
                last.append(picture)
            else:
                groups.append([picture])
        return [np.stack(group) for group in groups]

    def _height_and_width(self, shape: Sequence[Any]) -> tuple[Any, Any]:
        return (shape[2], shape[3]) if self.info.input == "normalized" else (shape[1], shape[2])

    def _check(self, images: Array) -> None:
        floating = self.info.input == "normalized"
        form = "(B, 3, H, W) float32, normalized" if floating else "(B, H, W, 3) uint8"
        if not isinstance(images, np.ndarray):
            raise InputError(
                f"Got {type(images).__name__}; expected an array {form}. For pictures use encoder.embed(…)."
            )
        if images.ndim != 4 or images.shape[1 if floating else 3] != 3 or 0 in images.shape:
            raise InputError(f"Got shape {images.shape}; expected {form}.")
        if images.dtype != (np.float32 if floating else np.uint8):
            raise InputError(f"Got {images.dtype}; expected {form}.")
        sides = self._height_and_width(images.shape)
        if self.info.input != "pictures" and min(sides) < SMALLEST_SIDE:
            raise InputError(
                f"Got images of {sides[0]} × {sides[1]} pixels; expected at least {SMALLEST_SIDE} × {SMALLEST_SIDE}."
            )
        fixed = [wanted or side for wanted, side in zip(self.sides, sides, strict=True)]
        if fixed != list(sides):
            raise InputError(
                f"Got images of {sides[0]} × {sides[1]} pixels; this file is fixed to {fixed[0]} × {fixed[1]}."
            )
        if floating and (bad := count_non_finite(images)):  # a ReLU may turn NaN into 0
            raise InputError(f"The images hold {bad} NaN or infinite values; expected finite ones.")
        if self._batch and len(images) > self._batch:
            raise InputError(f"Got {len(images)} images; this file is fixed to batches of {self._batch}.")


def _expected(info: OnnxInfo) -> dict[str, Ranked]:
    """Return types and sides of a file's outputs."""
    specs: dict[str, FeatureSpec] = {str(stage): spec for stage, spec in info.encoder.specs.items()}
    expected: dict[str, Ranked] = {}
    for output in info.outputs:
        if output in POOLED:
            width = len(info.classes) if output == "logits" else info.encoder.feature_dim
            expected[output] = ("tensor(float)", (None, width))
        else:
            expected[output] = ("tensor(float)", (None, specs[output].channels, None, None))
    return expected
