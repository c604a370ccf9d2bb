"""Steps of mmseg's pipelines: this library's readers of pictures and masks, and a random scale."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform, Resize
from mmengine.fileio import BaseStorageBackend, register_backend
from mmseg.registry import TRANSFORMS

from sslhsic_transfer.data.images import load_image
from sslhsic_transfer.errors import ConfigError, DataError


@TRANSFORMS.register_module()
class LoadSSLHSICPicture(BaseTransform):
    """Step that reads a picture by `load_image`, as evaluation and prediction do, in mmseg's BGR order.

    Args:
        to_float32: whether to convert values to float32, from 0 to 255.
    """

    def __init__(self, to_float32: bool = False) -> None:
        self.to_float32 = to_float32

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add ``img``, (H, W, 3) uint8 or float32, and its size.

        Raises:
            ImageError: the picture cannot be read.
            DataError: its mask, if that was read before, has another size.
        """
        image = np.ascontiguousarray(np.asarray(load_image(results["img_path"]))[..., ::-1])
        results["img"] = image.astype(np.float32) if self.to_float32 else image
        results["img_shape"] = results["ori_shape"] = image.shape[:2]
        _require_same_size(results)
        return results


@TRANSFORMS.register_module()
class LoadSSLHSICMask(BaseTransform):
    """Step that reads the mask of an example of `SSLHSICDataset`; single pictures have none."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add ``gt_seg_map``, (H, W) uint8: class numbers, 255 where ignored.

        Raises:
            DataError: as for `SegmentationData.read_mask`, or the mask does not have the picture's size.
            ConfigError: the example comes from another data set, with its own masks.
        """
        if "number" in results:
            results["gt_seg_map"] = results["segmentation"].read_mask(results["number"])
            results["seg_fields"].append("gt_seg_map")
            _require_same_size(results)
        elif results.get("seg_map_path") is not None:
            raise ConfigError(
                f"LoadSSLHSICMask reads masks of SSLHSICDataset; got {results['seg_map_path']} of another data set. "
                "Use that, or read its masks by LoadAnnotations."
            )
        return results


def _require_same_size(results: Mapping[str, Any]) -> None:
    if "img" not in results or "gt_seg_map" not in results:
        return
    (height, width), (high, wide) = results["img"].shape[:2], results["gt_seg_map"].shape
    if (height, width) != (high, wide):
        raise DataError(
            f"{results['img_path']} has {width} × {height} pixels, its mask {results['seg_map_path']} "
            f"{wide} × {high}; expected the same size."
        )


@register_backend("sslhsic", force=True)  # force, as a module may be imported again
class PictureBackend(BaseStorageBackend):  # type: ignore[misc]
    """Storage by which mmseg's own reader of pictures gets what `load_image` reads.

    For programs that build ``LoadImageFromFile`` themselves, such as ``MMSegInferencer``:
    ``dict(type="LoadImageFromFile", backend_args=dict(backend="sslhsic"))``.
    """

    def get(self, filepath: str) -> bytes:
        """Return the picture as an upright RGB bitmap, which every decoder reads alike.

        Raises:
            ImageError: the picture cannot be read.
        """
        bitmap = io.BytesIO()
        load_image(filepath).save(bitmap, format="BMP")
        return bitmap.getvalue()

    def get_text(self, filepath: str) -> str:
        """Refuse text, which this storage does not have."""
        raise NotImplementedError("This storage holds pictures only.")


# Replacements of mmseg's readers, and the values that these support of options that change the result.
_READERS: Mapping[str, tuple[type[BaseTransform], Mapping[str, Sequence[Any]]]] = {
    "LoadImageFromFile": (LoadSSLHSICPicture, {"color_type": ("color",), "ignore_empty": (False,)}),
    "LoadAnnotations": (LoadSSLHSICMask, {"reduce_zero_label": (None, False)}),
}
_KEPT = ("to_float32",)


def with_our_readers(pipeline: Sequence[Any]) -> list[Any]:
    """Replace mmseg's readers, which older configs also name, by this library's.

    Mmseg's readers clip 16 bits and put transparent pictures over a color. Their options of decoder and storage are
    ignored.

    Args:
        pipeline: steps as in configs, or transforms; it is not changed.

    Raises:
        ConfigError: a reader has options that its replacement does not support.
    """
    return [_with_our_readers(step) for step in pipeline]


def _with_our_readers(step: Any) -> Any:
    if isinstance(step, list | tuple):
        return type(step)(_with_our_readers(part) for part in step)
    if isinstance(step, BaseTransform):
        options = {"type": type(step), **vars(step)}
        return _our_reader(options) or step
    if isinstance(step, Mapping):
        ours = _our_reader(step)
        changed = {key: _with_our_readers(value) for key, value in step.items()} if ours is None else ours
        return type(step)(changed)  # type: ignore[call-arg] # a dict of mmengine's
    return step


def _our_reader(step: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the replacement for a reader of mmseg; None for any other step."""
    kind = step.get("type")
    name = kind.__name__ if isinstance(kind, type) else str(kind).rpartition(".")[2]
    if name not in _READERS:
        return None
    ours, fitting = _READERS[name]
    for key, values in fitting.items():
        if step.get(key, values[0]) not in values:
            raise ConfigError(
                f"{name}: got {key}={step[key]!r}; {ours.__name__} reads in its place and knows no {key}: remove it."
            )
    return {"type": ours.__name__} | {key: step[key] for key in _KEPT if key in step}


@TRANSFORMS.register_module()
class SSLHSICRandomScale(BaseTransform):
    """Step that resizes by a random factor of the picture's own size, as in "scale [0.5, 2]" of protocols.

    Mmseg's RandomResize takes factors of one fixed size.

    Args:
        ratio_range: least and largest factor; drawn uniformly.
        short_side: short side in pixels that the factor multiplies; None: the picture's own.
    """

    def __init__(self, ratio_range: tuple[float, float] = (0.5, 2.0), short_side: int | None = None) -> None:
        self.ratio_range = ratio_range
        self.short_side = short_side

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Resize the picture bilinearly and the mask by the nearest neighbor."""
        factor = float(np.random.uniform(*self.ratio_range))
        if self.short_side is not None:
            factor *= self.short_side / min(results["img"].shape[:2])
        scaled: dict[str, Any] = Resize(scale_factor=factor).transform(results)
        return scaled
