"""Advice where batches are too small for the statistics of normalization layers."""

from collections.abc import Iterator
from contextlib import contextmanager

from sslhsic_transfer.errors import ConfigError

_TORCHS = "Expected more than 1 value per channel when training"


@contextmanager
def advising_on_statistics(advice: str) -> Iterator[None]:
    """Turn torch's error about a batch with one value per channel into one that names the setting to change.

    Layers over pooled features, as in DeepLab's and UPerNet's heads, have such batches if there is one picture in them.

    Args:
        advice: which setting to change, and how.

    Raises:
        ConfigError: a normalization layer got one value per channel.
    """
    try:
        yield
    except ValueError as error:
        if not str(error).startswith(_TORCHS):
            raise
        raise ConfigError(
            "A normalization layer got one value per channel, from which it cannot compute statistics "
            f"({str(error).rpartition('got ')[2]}). {advice}"
        ) from error
