"""Fine-tuning of encoders on tasks: settings, training, evaluation, loading of fine-tuned models."""

from typing import TYPE_CHECKING

from sslhsic_transfer._lazy import lazy_names

if TYPE_CHECKING:
    from sslhsic_transfer.data.labelled.detection import Boxes as Boxes
    from sslhsic_transfer.transfer.model import load_transferred as load_transferred
    from sslhsic_transfer.transfer.run import transfer as transfer

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Boxes": "sslhsic_transfer.data.labelled.detection",
        "load_transferred": f"{__name__}.model",
        "transfer": f"{__name__}.run",
    },
)
