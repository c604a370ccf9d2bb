"""Kernel values of all pairs of a batch's rows, tile by tile.

A tile holds the kernel values of some images' views with those of others. Its sums are added to the total and the tile
is discarded; the backward pass computes it again. Besides the points, only one tile and a few numbers for each row are
kept in memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from sslhsic_transfer.hsic.kernels import Kernel

# A tile and the values computed from it should fit the cache of a CPU core, and keep a GPU fully busy.
_ROWS_ON_CPU, _ROWS_ELSEWHERE = 512, 4096


@dataclass(frozen=True)
class Tile:
    """Views of the images in ``rows`` paired with views of the images in ``columns``.

    Attributes:
        rows: the images of the rows, numbered over all processes.
        columns: the images of the columns.
        squared: (M, a, M, b) squared distances between them.
        own: whether rows and columns are the same images, so that the tile contains pairs of an image with itself.
        twice: whether the tile also stands for its transpose.
    """

    rows: slice
    columns: slice
    squared: Tensor
    own: bool
    twice: bool


class Batch:
    """The points of all processes. Each process computes the pairs with its own images.

    Args:
        points: (M, B, d) all points.
        images: the range of the B images that belongs to this process.
    """

    def __init__(self, points: Tensor, images: slice) -> None:
        self.points = points
        self.views, self.size, _ = points.shape
        self.images = images
        self._squares = points.square().sum(dim=-1)
        limit = _ROWS_ON_CPU if points.device.type == "cpu" else _ROWS_ELSEWHERE
        self._step = max(1, limit // self.views)

    @property
    def rows(self) -> int:
        """Number of rows, B·M."""
        return self.views * self.size

    def tiles(self) -> Iterator[Tile]:
        """Yield this process's tiles; a single process leaves out those that are transposes of others."""
        alone = self.images == slice(0, self.size)
        for rows in self._ranges(self.images):
            # First the tile of these images with themselves, then those with the images before and after.
            yield self._tile(rows, rows, own=True, twice=False)
            before = () if alone else self._ranges(slice(0, rows.start))
            for columns in (*before, *self._ranges(slice(rows.stop, self.size))):
                yield self._tile(rows, columns, own=False, twice=alone)

    def _ranges(self, images: slice) -> list[slice]:
        starts = range(images.start, images.stop, self._step)
        return [slice(start, min(start + self._step, images.stop)) for start in starts]

    def _tile(self, rows: slice, columns: slice, *, own: bool, twice: bool) -> Tile:
        x, y = self.points[:, rows].flatten(0, 1), self.points[:, columns].flatten(0, 1)
        squared = torch.addmm(self._squares[:, columns].flatten(), x, y.T, alpha=-2)
        squared += self._squares[:, rows].reshape(-1, 1)
        squared.clamp_min_(0)
        if own:
            squared.fill_diagonal_(0)
        shape = (self.views, rows.stop - rows.start, self.views, columns.stop - columns.start)
        return Tile(rows, columns, squared.view(shape), own, twice)


def own_blocks(tile: Tensor) -> Tensor:
    """Return the blocks of each image with itself in an (M, a, M, a) tile: an (M, M, a) view."""
    return tile.diagonal(dim1=1, dim2=3)


def shift_of(batch: Batch, kernel: Kernel, scale: Tensor) -> Tensor:
    """Return a number near the mean kernel value; subtracting it avoids loss of precision.

    HSIC does not change when a constant is added to a kernel. The number is the kernel at the mean squared distance.
    """
    assert kernel.profile is not None
    mean = batch.points.mean(dim=(0, 1))
    squared = 2 * (batch.points.square().sum(dim=-1).mean() - mean @ mean)
    return kernel.profile(squared.clamp_min(0), scale)
