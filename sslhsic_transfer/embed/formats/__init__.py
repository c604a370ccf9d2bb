"""The table of output formats. To add one, write a file here with a `Format`, and add a row."""

import importlib
from pathlib import Path

from sslhsic_transfer.embed.formats.format import Format
from sslhsic_transfer.errors import ConfigError

# Suffix of the output -> module and class.
FORMATS: dict[str, tuple[str, str]] = {
    ".parquet": (f"{__name__}.parquet", "Parquet"),
    ".npy": (f"{__name__}.numpy", "NumPy"),
    ".safetensors": (f"{__name__}.safetensors", "Safetensors"),
}


def format_of(path: Path) -> Format:
    """Look up the format of a file by its suffix.

    Raises:
        ConfigError: there is no such format.
    """
    if path.suffix not in FORMATS:
        raise ConfigError(f"Got the output {path}; expected a name that ends in {' or '.join(FORMATS)}.")
    module, name = FORMATS[path.suffix]
    found: Format = getattr(importlib.import_module(module), name)()
    return found
