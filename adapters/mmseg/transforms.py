"""Steps of mmseg's pipelines: masks as our readers give them, and a random scale relative to the picture."""

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform, Resize
from mmseg.registry import TRANSFORMS

from sslhsic_transfer.data.images import load_image
from sslhsic_transfer.errors import DataError


@TRANSFORMS.register_module()
class LoadSSLHSICPicture(BaseTransform):
    """Read a picture as `load_image` does, by which the same models evaluate and predict; in BGR, as mmseg has it."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add ``img``, (H, W, 3) uint8, and its size.

        Raises:
            ImageError: it cannot be read.
        """
        image = np.ascontiguousarray(np.asarray(load_image(results["img_path"]))[..., ::-1])
        results["img"] = image
        results["img_shape"] = results["ori_shape"] = image.shape[:2]
        return results


@TRANSFORMS.register_module()
class LoadSSLHSICMask(BaseTransform):
    """Read the mask of an example of `SSLHSICDataset`; a picture that comes alone has none."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add ``gt_seg_map``, (H, W) uint8: class numbers, 255 where ignored.

        Raises:
            DataError: as `SegmentationData.read_mask`, or the mask does not have the picture's size.
        """
        if "number" in results:
            mask = results["segmentation"].read_mask(results["number"])
            if mask.shape != results["img"].shape[:2]:
                (height, width), (high, wide) = results["img"].shape[:2], mask.shape
                raise DataError(
                    f"{results['img_path']} has {width} × {height} pixels, its mask {results['seg_map_path']} "
                    f"{wide} × {high}; expected the same size."
                )
            results["gt_seg_map"] = mask
            results["seg_fields"].append("gt_seg_map")
        return results


@TRANSFORMS.register_module()
class SSLHSICRandomScale(BaseTransform):
    """Resize by a random factor of the picture's own size: what protocols mean by "scale [0.5, 2]".

    Mmseg's RandomResize takes factors of one fixed size.

    Args:
        ratio_range: least and largest factor; drawn uniformly.
        short_side: pixels that the factor is of; None: the picture's own.
    """

    def __init__(self, ratio_range: tuple[float, float] = (0.5, 2.0), short_side: int | None = None) -> None:
        self.ratio_range = ratio_range
        self.short_side = short_side

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Resize the picture, bilinearly, and the mask, by the nearest neighbour."""
        factor = float(np.random.uniform(*self.ratio_range))
        if self.short_side is not None:
            factor *= self.short_side / min(results["img"].shape[:2])
        scaled: dict[str, Any] = Resize(scale_factor=factor).transform(results)
        return scaled
