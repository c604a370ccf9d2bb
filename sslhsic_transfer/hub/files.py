"""The two files of a model."""

from dataclasses import dataclass
from pathlib import Path

from sslhsic_transfer.hub.config_file import CONFIG_NAME

WEIGHTS_NAME = "model.safetensors"


@dataclass(frozen=True)
class ModelFiles:
    """Paths of a model's two files on this machine.

    Attributes:
        config: config.json.
        weights: model.safetensors, or a weights file of another name next to its config.json.
    """

    config: Path
    weights: Path

    @classmethod
    def at(cls, path: str | Path) -> "ModelFiles":
        """Return the files of a folder, or a weights file and the config.json next to it."""
        path = Path(path)
        folder, name = (path.parent, path.name) if path.suffix == ".safetensors" else (path, WEIGHTS_NAME)
        return cls(folder / CONFIG_NAME, folder / name)
