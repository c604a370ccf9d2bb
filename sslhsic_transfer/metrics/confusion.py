"""Agreement of predicted classes with masks: IoU and accuracy, for the segmentation networks of all frameworks."""

import numpy as np
from numpy.typing import NDArray

from sslhsic_transfer.errors import DataError


class Confusion:
    """Confusion matrix of pixels, by true class (rows) and predicted class (columns), without ignored pixels.

    Args:
        classes: names of the C classes.
        ignore_index: value of pixels without a class in masks.

    Attributes:
        matrix: (C, C) int64.
    """

    def __init__(self, classes: tuple[str, ...], ignore_index: int = 255) -> None:
        self.classes = classes
        self.ignore_index = ignore_index
        self.matrix = np.zeros((len(classes), len(classes)), dtype=np.int64)

    def update(self, mask: NDArray[np.uint8], found: NDArray[np.uint8]) -> None:
        """Count a picture.

        Args:
            mask: (H, W) true classes, or `ignore_index`.
            found: (H, W) predicted classes.

        Raises:
            DataError: the two differ in size.
        """
        if mask.shape != found.shape:
            raise DataError(f"A prediction has the shape {found.shape} and its mask {mask.shape}; expected the same.")
        count, counts = len(self.classes), mask != self.ignore_index
        cells = mask[counts].astype(np.int64) * count + found[counts]
        self.matrix += np.bincount(cells, minlength=count * count).reshape(count, count)

    @property
    def iou(self) -> dict[str, float]:
        """Intersection over union of each class, from 0 to 1; NaN if a class neither occurs nor is predicted."""
        both = np.diagonal(self.matrix).astype(np.float64)
        either = self.matrix.sum(0) + self.matrix.sum(1) - both
        values = np.divide(both, either, out=np.full_like(both, np.nan), where=either > 0)
        return dict(zip(self.classes, values.tolist(), strict=True))

    @property
    def mean_iou(self) -> float:
        """Mean of `iou` over the classes for which it is not NaN.

        Raises:
            DataError: no pixel was counted.
        """
        self._require_pixels()
        return float(np.nanmean(list(self.iou.values())))

    @property
    def accuracy(self) -> float:
        """Share of correctly classified pixels; errors as for `mean_iou`."""
        self._require_pixels()
        return float(np.trace(self.matrix) / self.matrix.sum())

    def _require_pixels(self) -> None:
        if not self.matrix.any():
            raise DataError("Every pixel of every mask is ignored: there is nothing to measure.")
