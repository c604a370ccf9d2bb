"""Metrics: classification of embeddings, rank, mIoU, average precision and depth."""

from typing import TYPE_CHECKING

from sslhsic_transfer._lazy import lazy_names

if TYPE_CHECKING:
    from sslhsic_transfer.metrics.confusion import Confusion as Confusion
    from sslhsic_transfer.metrics.depth import DepthMetrics as DepthMetrics
    from sslhsic_transfer.metrics.depth import DepthProtocol as DepthProtocol
    from sslhsic_transfer.metrics.depth import depth_metrics as depth_metrics
    from sslhsic_transfer.metrics.knn import knn_accuracy as knn_accuracy
    from sslhsic_transfer.metrics.knn import knn_predict as knn_predict
    from sslhsic_transfer.metrics.linear import LinearProbe as LinearProbe
    from sslhsic_transfer.metrics.linear import linear_probe as linear_probe
    from sslhsic_transfer.metrics.rank import rankme as rankme
    from sslhsic_transfer.metrics.ridge import ridge_accuracy as ridge_accuracy

_HOMES = {
    "confusion": ("Confusion",),
    "depth": ("DepthMetrics", "DepthProtocol", "depth_metrics"),
    "knn": ("knn_accuracy", "knn_predict"),
    "linear": ("LinearProbe", "linear_probe"),
    "rank": ("rankme",),
    "ridge": ("ridge_accuracy",),
}
__getattr__, __dir__ = lazy_names(
    __name__, {name: f"{__name__}.{home}" for home, names in _HOMES.items() for name in names}
)
