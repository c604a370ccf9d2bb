"""Evaluation of embeddings: k-NN and linear probes, and records of the results."""

from typing import TYPE_CHECKING

from sslhsic_transfer._lazy import lazy_names

if TYPE_CHECKING:
    from sslhsic_transfer.evaluate.probe import evaluate as evaluate
    from sslhsic_transfer.metrics.knn import knn_accuracy as knn_accuracy
    from sslhsic_transfer.metrics.knn import knn_predict as knn_predict
    from sslhsic_transfer.metrics.linear import LinearProbe as LinearProbe
    from sslhsic_transfer.metrics.linear import linear_probe as linear_probe
    from sslhsic_transfer.metrics.rank import rankme as rankme
    from sslhsic_transfer.metrics.ridge import ridge_accuracy as ridge_accuracy
    from sslhsic_transfer.results import Result as Result

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "LinearProbe": "sslhsic_transfer.metrics.linear",
        "Result": "sslhsic_transfer.results",
        "evaluate": "sslhsic_transfer.evaluate.probe",
        "knn_accuracy": "sslhsic_transfer.metrics.knn",
        "knn_predict": "sslhsic_transfer.metrics.knn",
        "linear_probe": "sslhsic_transfer.metrics.linear",
        "rankme": "sslhsic_transfer.metrics.rank",
        "ridge_accuracy": "sslhsic_transfer.metrics.ridge",
    },
)
