"""Pretraining data: pictures to train on, and perhaps pictures for the online evaluation."""

from dataclasses import dataclass

from sslhsic_transfer.data.images import Pictures
from sslhsic_transfer.data.sources.streams import Stream
from sslhsic_transfer.errors import DataError


@dataclass(frozen=True)
class PretrainingData:
    """Pictures to train on and, if there are labels, pictures for the online evaluation.

    Attributes:
        name: name of the data set.
        train: the pictures to train on.
        validation: labeled pictures for the online k-NN; None: those of ``train`` query one another.

    Raises:
        DataError: ``validation`` has no labels, or other classes than ``train``.
    """

    name: str
    train: Pictures | Stream
    validation: Pictures | None = None

    def __post_init__(self) -> None:
        if self.validation is None:
            return
        found = self.validation.classes
        if not found:
            raise DataError(f"{self.name}: the pictures to validate on have no labels. Leave them out.")
        if self.train.classes and self.train.classes != found:
            raise DataError(
                f"{self.name}: the pictures to train on have the classes {_listed(self.train.classes)}; those to "
                f"validate on {_listed(found)}. Expected the same."
            )


def _listed(classes: tuple[str, ...], most: int = 20) -> str:
    return ", ".join(classes[:most]) + (f", … ({len(classes)})" if len(classes) > most else "")
