"""The two files that make a model."""

from dataclasses import dataclass
from pathlib import Path

from sslhsic_transfer.hub.config_file import CONFIG_NAME

WEIGHTS_NAME = "model.safetensors"


@dataclass(frozen=True)
class ModelFiles:
    """The two files that make a model, on this machine.

    Attributes:
        config: config.json.
        weights: model.safetensors, or a lone file of another name beside its config.
    """

    config: Path
    weights: Path

    @classmethod
    def at(cls, path: str | Path) -> "ModelFiles":
        """The files of a folder, or a weights file and the config.json beside it."""
        path = Path(path)
        folder, name = (path.parent, path.name) if path.suffix == ".safetensors" else (path, WEIGHTS_NAME)
        return cls(folder / CONFIG_NAME, folder / name)
