"""Reading of embedding files of any format: the picture of each row, and the model and settings that made them."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from sslhsic_transfer._precision import Precision
from sslhsic_transfer.embed.formats import format_of
from sslhsic_transfer.embed.formats.format import READ_ERRORS
from sslhsic_transfer.errors import DataError
from sslhsic_transfer.models.preprocessing import Preprocessing


@dataclass(frozen=True)
class EmbeddingFile:
    """Content of a file written by `embed`.

    Attributes:
        paths: N paths, relative to the folder that was embedded, with forward slashes; or the keys of other sources.
        outputs: name of each output -> (N, dim) values as they are stored; mapped into memory where the format allows.
        model: the name or path given to `from_pretrained`.
        weights_sha256: hash of the weights that made the embeddings; embed queries with an encoder of the same hash.
        preprocessing: the preprocessing of each picture.
        precision: the precision of the network.
        library_version: the version of sslhsic_transfer that wrote the file.
        normalized: whether each vector was divided by its norm.
        sizes: (N, 2) width and height of the pictures; None in files of earlier versions.
        labels: N labels; None where the source had none.
    """

    paths: tuple[str, ...]
    outputs: dict[str, NDArray[Any]] = field(repr=False)
    model: str
    weights_sha256: str
    preprocessing: Preprocessing
    precision: Precision
    library_version: str
    normalized: bool = False
    sizes: NDArray[Any] | None = field(default=None, repr=False)
    labels: tuple[str, ...] | None = field(default=None, repr=False)

    @cached_property
    def embeddings(self) -> Tensor:
        """The first output, (N, D) float32, in the order of ``paths``."""
        return torch.tensor(next(iter(self.outputs.values()))).float()


def read_embeddings(path: str | Path) -> EmbeddingFile:
    """Read a file of `embed`.

    Raises:
        DataError: the file does not exist, or `embed` did not write it.
        ConfigError: its name does not end as a format's.
    """
    path = Path(path)
    form = format_of(path)
    try:
        content = form.read(path)
        facts = content.facts
        preprocessing = Preprocessing.model_validate(facts["preprocessing"])
        told = {name: facts[name] for name in ("model", "weights_sha256", "precision", "library_version")}
        normalized = bool(facts.get("normalized", False))
    except FileNotFoundError as error:
        raise DataError(f"{error.filename or path} is not there; expected a file of `sslhsic embed`.") from error
    except READ_ERRORS as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path} is not a file that `sslhsic embed` wrote, or damaged: {reason}") from error
    return EmbeddingFile(
        tuple(content.paths),
        content.outputs,
        preprocessing=preprocessing,
        normalized=normalized,
        sizes=content.sizes,
        labels=None if content.labels is None else tuple(content.labels),
        **told,
    )
