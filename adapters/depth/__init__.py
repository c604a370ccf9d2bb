"""Depth from one picture: an encoder with heads, and losses."""

from typing import TYPE_CHECKING

from sslhsic_transfer._lazy import lazy_names

if TYPE_CHECKING:
    from sslhsic_transfer.adapters.depth.losses import berhu as berhu
    from sslhsic_transfer.adapters.depth.losses import gradient_matching as gradient_matching
    from sslhsic_transfer.adapters.depth.losses import scale_invariant_log as scale_invariant_log
    from sslhsic_transfer.adapters.depth.model import DepthModel as DepthModel
    from sslhsic_transfer.metrics.depth import GARG_CROP as GARG_CROP
    from sslhsic_transfer.metrics.depth import NYU_CROP as NYU_CROP
    from sslhsic_transfer.metrics.depth import DepthMetrics as DepthMetrics
    from sslhsic_transfer.metrics.depth import DepthProtocol as DepthProtocol
    from sslhsic_transfer.metrics.depth import depth_metrics as depth_metrics

_OWN = {"losses": ("berhu", "gradient_matching", "scale_invariant_log"), "model": ("DepthModel",)}
_METRICS = ("GARG_CROP", "NYU_CROP", "DepthMetrics", "DepthProtocol", "depth_metrics")
__getattr__, __dir__ = lazy_names(
    __name__,
    {name: f"{__name__}.{home}" for home, names in _OWN.items() for name in names}
    | dict.fromkeys(_METRICS, "sslhsic_transfer.metrics.depth"),
)
