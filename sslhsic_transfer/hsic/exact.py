"""The loss's terms from the kernel values of all pairs, free of the noise of random features.

HSIC(Z, Y) and HSIC(Z, Z) are sums over pairs, and so are their gradients: for a kernel value k(x, y) = κ(‖x − y‖²) with
derivative g of the loss, x gets 2·g·κ'·(x − y). The cost grows with the square of the number of rows; for small batches
it is still below that of random features (see `sslhsic_transfer.hsic.cost`).
"""

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from sslhsic_transfer.hsic.distributed import gather_over_processes, sum_each, sum_over_processes
from sslhsic_transfer.hsic.first_derivative import FirstDerivative
from sslhsic_transfer.hsic.kernels import Kernel
from sslhsic_transfer.hsic.pairs import Batch, Tile, own_blocks, shift_of


@dataclass(frozen=True)
class ExactSettings:
    """Settings of `exact_terms`.

    Attributes:
        kernel: a kernel with a profile.
        debiased: whether HSIC(Z, Z) is the U-statistic over images; else it is the plug-in estimate over rows.
        trained: the views that get a gradient.
        scale_gradient: whether to compute the derivative of the scale's objective.
    """

    kernel: Kernel
    debiased: bool
    trained: tuple[int, ...]
    scale_gradient: bool


def exact_terms(points: Tensor, scale: Tensor, settings: ExactSettings) -> tuple[Tensor, Tensor, Tensor]:
    """Compute HSIC(Z, Y), HSIC(Z, Z) and the derivative of the scale's objective.

    Args:
        points: (B, M, d) unit vectors, M views of each of B images; in a process group, this rank's images.
        scale: the kernel scale c, a scalar tensor; no term has a gradient for it.
        settings: what to compute.

    Returns:
        Three scalar tensors for the global batch, the same on every rank. After DistributedDataParallel's mean over
        ranks, gradients are those of the global batch.
    """
    zy, zz, gradient = _ExactTerms.apply(points, scale.to(points.dtype), settings)
    return zy, zz, gradient


@dataclass
class _Sums:
    """Sums over all pairs. k is a kernel value minus the shift. Pairs within an image are kept apart from the others.

    Attributes:
        rows: (M, B) for each row, Σ k over the other images' rows.
        own_rows: (M, B) for each row, Σ k over its own image's rows.
        squares: Σ k² over pairs of different images.
        positives: Σ k over pairs of distinct views of one image.
        own_squares: Σ k² over all pairs within one image.
        row_image_squares: Σ over rows and other images of the squared mean of k over the image's views.
        image_squares: Σ over pairs of images of the squared mean of k over the two images' views.
        scale: Σ over pairs of distinct rows of the derivative of log |∂k/∂s| in the scale.
    """

    rows: Tensor
    own_rows: Tensor
    squares: Tensor
    positives: Tensor
    own_squares: Tensor
    row_image_squares: Tensor
    image_squares: Tensor
    scale: Tensor

    @classmethod
    def zeros(cls, batch: Batch) -> "_Sums":
        rows = (batch.points.new_zeros(batch.views, batch.size) for _ in range(2))
        return cls(*rows, *(batch.points.new_zeros(()) for _ in range(6)))

    def over_processes(self) -> "_Sums":
        return _Sums(*sum_each([getattr(self, field.name) for field in fields(self)]))

    def add(self, tile: Tile, scale: Tensor, shift: Tensor, settings: ExactSettings) -> None:
        kernel, weight = settings.kernel, 2 if tile.twice else 1
        assert kernel.profile is not None
        if settings.scale_gradient:
            assert kernel.log_slope_gradient is not None
            slopes = kernel.log_slope_gradient(tile.squared, scale)
            self.scale += weight * slopes.sum()
            if tile.own:  # leave out pairs of a row with itself
                self.scale -= own_blocks(slopes).diagonal().sum()
        values = kernel.profile(tile.squared, scale) - shift
        if tile.own:
            own = own_blocks(values)
            self.positives += own.sum() - own.diagonal().sum()
            self.own_squares += own.square().sum()
            self.own_rows[:, tile.rows] += own.sum(dim=1)
            own.zero_()
        self.rows[:, tile.rows] += values.sum(dim=(2, 3))
        if tile.twice:
            self.rows[:, tile.columns] += values.sum(dim=(0, 1))
        self.squares += weight * _square_sum(values)
        if settings.debiased:
            means = values.mean(dim=2)  # (M, a, b), of a row with an image's views
            self.row_image_squares += _square_sum(means)
            if tile.twice:
                self.row_image_squares += _square_sum(values.mean(dim=0))
            self.image_squares += weight * _square_sum(means.mean(dim=0))


class _ExactTerms(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, points: Tensor, scale: Tensor, settings: ExactSettings) -> tuple[Tensor, ...]:
        gathered, start = gather_over_processes(points)
        batch = Batch(gathered.transpose(0, 1).contiguous(), slice(start, start + len(points)))
        shift = shift_of(batch, settings.kernel, scale)
        sums = _Sums.zeros(batch)
        for tile in batch.tiles():
            sums.add(tile, scale, shift, settings)
        sums = sums.over_processes()
        estimates = _Debiased(batch, sums) if settings.debiased else _Biased(batch, sums)
        zy = _hsic_zy(batch, sums)
        scale_gradient = sums.scale / max(1, batch.rows * (batch.rows - 1))
        ctx.save_for_backward(points, scale)
        ctx.batch, ctx.shift, ctx.estimates, ctx.settings = batch, shift, estimates, settings
        ctx.mark_non_differentiable(scale_gradient)
        return zy, estimates.value, scale_gradient

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        points, scale = ctx.saved_tensors
        batch, shift, estimates, settings = ctx.batch, ctx.shift, ctx.estimates, ctx.settings
        # Same precision as in forward, wherever backward is called.
        with torch.no_grad(), torch.autocast(points.device.type, enabled=False):
            upstream = sum_over_processes(torch.stack([each.to(points.dtype) for each in gradients[:2]]))
            result = _PointGradient(batch, settings.trained)
            for tile in batch.tiles():
                assert settings.kernel.profile is not None
                assert settings.kernel.slope is not None
                values = settings.kernel.profile(tile.squared, scale) - shift
                weights = estimates.weights(tile, values, upstream)
                weights *= settings.kernel.slope(tile.squared, scale)
                if tile.own:  # a row's distance to itself is constant
                    own_blocks(weights).diagonal().zero_()
                result.add(tile, weights)
            local = result.total.transpose(0, 1)
        return FirstDerivative.apply(local, points, *gradients[:2]), None, None


class _PointGradient:
    """The gradient of this process's points from weights of their pairs: −2·Σ w·(x − y)."""

    def __init__(self, batch: Batch, trained: tuple[int, ...]) -> None:
        leading = trained == tuple(range(len(trained)))
        self._batch, self._trained = batch, slice(0, len(trained)) if leading else list(trained)
        self.total = torch.zeros_like(batch.points[:, batch.images])

    def add(self, tile: Tile, weights: Tensor) -> None:
        """Add the contribution of a tile with weights (M, a, M, b)."""
        self._add(tile.rows, tile.columns, weights[self._trained].flatten(0, 1).flatten(1))
        if tile.twice:
            self._add(tile.columns, tile.rows, weights[:, :, self._trained].flatten(2).flatten(0, 1).T)

    def _add(self, images: slice, others: slice, weights: Tensor) -> None:
        points, start = self._batch.points, self._batch.images.start
        mine = points[self._trained, images]
        sums = torch.mm(weights, points[:, others].flatten(0, 1)).view_as(mine)
        sums -= weights.sum(dim=1).view(*mine.shape[:2], 1) * mine
        self.total[self._trained, images.start - start : images.stop - start] += 2 * sums


class _Biased:
    """Tr(KHKH)/n² over n rows, and its derivative for a kernel value and its transpose together."""

    def __init__(self, batch: Batch, sums: _Sums) -> None:
        self._batch = batch
        rows = batch.rows
        self._means = (sums.rows + sums.own_rows) / rows
        self._mean = self._means.mean()
        total = (sums.squares + sums.own_squares) / rows**2
        self.value = total - 2 * self._means.square().mean() + self._mean.square()

    def weights(self, tile: Tile, values: Tensor, upstream: Tensor) -> Tensor:
        """Return the derivative of the loss's terms for a tile's pairs, (M, a, M, b); ``values`` is overwritten."""
        zy, zz = upstream
        batch, (rows, columns) = self._batch, (self._means[:, tile.rows], self._means[:, tile.columns])
        share = 4 / batch.rows**2
        values -= (rows - self._mean)[:, :, None, None]
        values -= columns
        values *= share * zz
        values -= zy * (share / 2)
        if tile.own:
            own_blocks(values).add_(zy * _positive_share(batch))
        return values


class _Debiased:
    """The U-statistic of HSIC(Z, Z) over images, and its derivative for a kernel value and its transpose together.

    Let A be the mean kernel values of two images' views, and R the sums of a row's mean values with the other images.
    The estimate is the mean of k² over pairs of images, minus twice that over triples, plus that over quadruples (see
    `sslhsic_transfer.hsic.groups`, which defines these quantities).
    """

    def __init__(self, batch: Batch, sums: _Sums) -> None:
        self._batch = batch
        images, views = batch.size, batch.views
        # A mean over no terms is taken as zero, as in `groups`.
        self._pairs = float(max(1, images * (images - 1)))
        self._triples = max(1.0, self._pairs * (images - 2))
        self._quadruples = max(1.0, self._triples * (images - 3))
        self._rows = sums.rows / views
        self._images = self._rows.mean(dim=0)
        self._total = self._images.sum()
        two = sums.squares / views**2
        three = (self._rows.square().sum() - sums.row_image_squares) / views
        four = self._total.square() - 4 * self._images.square().sum() + 2 * sums.image_squares
        self.value = two / self._pairs - 2 * three / self._triples + four / self._quadruples

    def weights(self, tile: Tile, values: Tensor, upstream: Tensor) -> Tensor:
        """Return the derivative of the loss's terms for a tile's pairs, (M, a, M, b); ``values`` is overwritten."""
        zy, zz = upstream
        batch = self._batch
        if tile.own:
            own_blocks(values).zero_()
        squared = batch.views**2
        of_rows = self._row_weights(tile.rows) + self._total * (4 / self._quadruples)
        of_columns = self._row_weights(tile.columns)
        of_images = values.mean(dim=(0, 2)) * (8 / self._quadruples)
        rows = values.mean(dim=2) * (4 / self._triples) + of_images + of_rows[:, :, None]
        columns = values.mean(dim=0) * (4 / self._triples) + of_columns[None]  # (a, M, b)
        values *= 4 / self._pairs
        values += rows[:, :, None]
        values += columns[None]
        values *= zz / squared
        values -= zy * (2 / batch.rows**2)
        if tile.own:
            own_blocks(values).fill_(0).add_(zy * (_positive_share(batch) - 2 / batch.rows**2))
        return values

    def _row_weights(self, images: slice) -> Tensor:
        return -self._rows[:, images] * (4 / self._triples) - self._images[images] * (8 / self._quadruples)


def _hsic_zy(batch: Batch, sums: _Sums) -> Tensor:
    """Return the mean kernel value of distinct views of one image minus that of all pairs; the shift cancels."""
    everything = sums.rows.sum() + sums.own_rows.sum()
    return sums.positives * (_positive_share(batch) / 2) - everything / batch.rows**2


def _positive_share(batch: Batch) -> float:
    """Return the weight of a pair of one image's views, and its transpose, in the mean over such pairs."""
    return 2 / (batch.rows * (batch.views - 1))


def _square_sum(values: Tensor) -> Tensor:
    flat = values.flatten()
    return flat @ flat
