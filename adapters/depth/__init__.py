"""Depth from one picture: heads over an encoder, losses, metrics."""

from typing import TYPE_CHECKING

from sslhsic_transfer._lazy import lazy_names

if TYPE_CHECKING:
    from sslhsic_transfer.adapters.depth.losses import berhu as berhu
    from sslhsic_transfer.adapters.depth.losses import gradient_matching as gradient_matching
    from sslhsic_transfer.adapters.depth.losses import scale_invariant_log as scale_invariant_log
    from sslhsic_transfer.adapters.depth.metrics import DepthProtocol as DepthProtocol
    from sslhsic_transfer.adapters.depth.metrics import depth_metrics as depth_metrics
    from sslhsic_transfer.adapters.depth.model import DepthModel as DepthModel

__getattr__, __dir__ = lazy_names(
    __name__,
    dict.fromkeys(("berhu", "gradient_matching", "scale_invariant_log"), f"{__name__}.losses")
    | dict.fromkeys(("DepthProtocol", "depth_metrics"), f"{__name__}.metrics")
    | {"DepthModel": f"{__name__}.model"},
)
