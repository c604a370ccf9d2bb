"""Metrics of depth, with an explicit protocol of all choices that affect them."""

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from sslhsic_transfer.errors import InputError

METRICS = ("abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "silog", "delta1", "delta2", "delta3")


class DepthProtocol(BaseModel):
    """All choices that affect a metric besides the prediction."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    least: float = Field(
        default=1e-3, gt=0, description="Smallest depth that counts, in meters; pixels measured below it are left out."
    )
    cap: float = Field(
        default=10.0, gt=0, description="Largest depth that counts, in meters; pixels measured beyond it are left out."
    )
    crop: tuple[float, float, float, float] | None = Field(
        default=None,
        description="Part of the picture that counts: top, bottom, left and right as shares of height and width; "
        "null: all of it.",
    )
    alignment: Literal["none", "median", "least-squares"] = Field(
        default="none",
        description="Alignment of each prediction to the measured depth before the comparison. none: none; median: "
        "scaled; least-squares: scaled and shifted.",
    )
    averaging: Literal["pictures", "pixels"] = Field(
        default="pictures",
        description="Averaging of the metrics. pictures: computed for each picture, then averaged; pixels: computed "
        "once over all pixels.",
    )

    def describe(self) -> str:
        """Describe the protocol in one line, for results."""
        crop = "whole picture" if self.crop is None else f"crop {self.crop}"
        return (
            f"{self.least:g}–{self.cap:g} m, {crop}, alignment {self.alignment}, mean over {self.averaging}, "
            "prediction resized to the target's size"
        )


# The crop of Eigen et al. for KITTI (Garg et al.), and the usual one for NYU v2, as shares of the picture.
GARG_CROP = (0.40810811, 0.99189189, 0.03594771, 0.96405229)
NYU_CROP = (45 / 480, 471 / 480, 41 / 640, 601 / 640)


class DepthMetrics:
    """Accumulator of metrics over pictures.

    Args:
        protocol: the protocol of the metrics.
    """

    def __init__(self, protocol: DepthProtocol | None = None) -> None:
        self.protocol = protocol or DepthProtocol()
        self._sums = torch.zeros(len(METRICS) + 1, dtype=torch.float64)  # the last is of d = log p − log t, for silog
        self._weight = 0.0
        self.pictures = 0

    def update(self, prediction: Tensor, target: Tensor, valid: Tensor) -> None:
        """Add a batch, (B, 1, H, W) each, in meters; predictions must already have the target's size.

        Pictures without a valid pixel are skipped.
        """
        if not prediction.shape == target.shape == valid.shape:
            raise InputError(
                f"Got predictions {tuple(prediction.shape)}, targets {tuple(target.shape)} and masks "
                f"{tuple(valid.shape)}; expected one shape."
            )
        for p, t, v in zip(prediction.double().cpu(), target.double().cpu(), valid.cpu(), strict=True):
            counted = v & (t >= self.protocol.least) & (t <= self.protocol.cap) & _inside(v, self.protocol.crop)
            if counted.any():
                self._add(self._aligned(p[counted], t[counted]), t[counted])

    def compute(self) -> dict[str, float]:
        """Compute the metrics over all pictures so far.

        Raises:
            InputError: no picture had a valid pixel.
        """
        if not self.pictures:
            raise InputError("No picture had a pixel with valid depth within the protocol's bounds and crop.")
        means = (self._sums / self._weight).tolist()
        figures = dict(zip(METRICS, means, strict=False))
        if self.protocol.averaging == "pixels":
            figures["rmse"] = means[METRICS.index("rmse")] ** 0.5
            figures["rmse_log"] = means[METRICS.index("rmse_log")] ** 0.5
            figures["silog"] = max(means[METRICS.index("silog")] - means[-1] ** 2, 0.0) ** 0.5 * 100
        return figures

    def _aligned(self, p: Tensor, t: Tensor) -> Tensor:
        if self.protocol.alignment == "median":
            p = p * (t.median() / p.median())
        elif self.protocol.alignment == "least-squares":
            system = torch.stack([p, torch.ones_like(p)], dim=1)
            p = system @ torch.linalg.lstsq(system, t[:, None]).solution[:, 0]
        return p.clamp(self.protocol.least, self.protocol.cap)

    def _add(self, p: Tensor, t: Tensor) -> None:
        error, d = p - t, p.log() - t.log()
        ratio = torch.maximum(p / t, t / p)
        by_pixel = torch.stack(
            [
                error.abs() / t,
                error.square() / t,
                error.square(),
                d.square(),
                (p.log10() - t.log10()).abs(),
                d.square(),
                *((ratio < 1.25**power).double() for power in (1, 2, 3)),
                d,
            ]
        )
        self.pictures += 1
        if self.protocol.averaging == "pixels":
            self._sums += by_pixel.sum(dim=1)
            self._weight += len(t)
            return
        means = by_pixel.mean(dim=1)
        means[METRICS.index("rmse")] = means[METRICS.index("rmse")].sqrt()
        means[METRICS.index("rmse_log")] = means[METRICS.index("rmse_log")].sqrt()
        means[METRICS.index("silog")] = (means[METRICS.index("silog")] - means[-1].square()).clamp_min(0).sqrt() * 100
        self._sums += means
        self._weight += 1


def depth_metrics(
    prediction: Tensor, target: Tensor, valid: Tensor, protocol: DepthProtocol | None = None
) -> dict[str, float]:
    """Compute the metrics of one batch: AbsRel, SqRel, RMSE, RMSE-log, log10, silog and δ < 1.25, 1.25², 1.25³."""
    metrics = DepthMetrics(protocol)
    metrics.update(prediction, target, valid)
    return metrics.compute()


def _inside(mask: Tensor, crop: tuple[float, float, float, float] | None) -> Tensor:
    inside = torch.ones_like(mask)
    if crop is not None:
        height, width = mask.shape[-2:]
        top, bottom, left, right = (int(s * n) for s, n in zip(crop, (height, height, width, width), strict=True))
        inside = torch.zeros_like(mask)
        inside[..., top:bottom, left:right] = True
    return inside
