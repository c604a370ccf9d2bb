"""What embeddings are worth: k-NN and linear probes, and the records that results are kept in."""

from typing import TYPE_CHECKING

from sslhsic_transfer._lazy import lazy_names

if TYPE_CHECKING:
    from sslhsic_transfer.evaluate.knn import knn_accuracy as knn_accuracy
    from sslhsic_transfer.evaluate.linear import linear_probe as linear_probe
    from sslhsic_transfer.results import Result as Result

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Result": "sslhsic_transfer.results",
        "knn_accuracy": "sslhsic_transfer.evaluate.knn",
        "linear_probe": "sslhsic_transfer.evaluate.linear",
    },
)
