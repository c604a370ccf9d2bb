"""transfer.json: the description of a fine-tuned model in its folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sslhsic_transfer._config import validate
from sslhsic_transfer._files import write_json
from sslhsic_transfer._json import parse_json
from sslhsic_transfer.errors import ConfigError, ModelNotFoundError
from sslhsic_transfer.models.config import EncoderConfig
from sslhsic_transfer.models.preprocessing import Preprocessing
from sslhsic_transfer.text_files import read_text
from sslhsic_transfer.transfer.frameworks import frameworks_of
from sslhsic_transfer.transfer.tasks import TASKS, load_task

if TYPE_CHECKING:
    from sslhsic_transfer.transfer.tasks.task import AnyTask

TRANSFER_CONFIG_NAME = "transfer.json"


class TransferConfig(BaseModel):
    """All that is needed to build the network again, except its weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format_version: Literal[1] = Field(default=1, description="Version of the format of transfer.json.")
    task: str = Field(description="Task of the network.")
    framework: str = Field(description="Framework that the network comes from.")
    classes: tuple[str, ...] = Field(
        default=(), description="Names of the classes, in the order of their numbers; empty for depth."
    )
    data: str = Field(description="Name of the data set that the network was trained on.")
    pictures_sha256: str | None = Field(
        default=None,
        description="SHA-256 of the names and sizes of the training files and of their labels. It is kept with the "
        "run only, not in transfer.json.",
    )
    encoder: EncoderConfig = Field(description="Configuration of the encoder in the network.")
    preprocessing: Preprocessing = Field(description="Preprocessing of the encoder.")
    initial_weights: str = Field(description="Name of the weights that the encoder started from.")
    initial_sha256: str | None = Field(
        default=None, description="SHA-256 of the weights that the encoder started from; null: random weights."
    )
    settings: dict[str, Any] = Field(description="Settings of the fine-tuning.")

    @model_validator(mode="after")
    def _is_known(self) -> "TransferConfig":
        if self.task not in TASKS:
            raise ValueError(f"task is {self.task!r}; expected {', '.join(TASKS)}")
        if self.framework not in frameworks_of(self.task):
            raise ValueError(f"framework is {self.framework!r}; expected {' or '.join(frameworks_of(self.task))}")
        return self

    def build_task(self) -> "AnyTask":
        """Return the task with the settings, preprocessing and classes of the fine-tuning.

        Raises:
            ConfigError: the settings do not validate.
        """
        task = load_task(self.task)
        settings = validate(task.settings_class, self.settings, source="settings")
        return task(settings, self.preprocessing, self.classes)

    def save(self, folder: Path) -> None:
        """Write transfer.json."""
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / TRANSFER_CONFIG_NAME, self.model_dump(mode="json", exclude={"pictures_sha256"}))

    @classmethod
    def load(cls, folder: Path) -> "TransferConfig":
        """Read transfer.json.

        Raises:
            ModelNotFoundError: the file does not exist.
            ConfigError: the file does not parse or validate.
        """
        path = folder / TRANSFER_CONFIG_NAME
        if not path.is_file():
            raise ModelNotFoundError(
                f"No {TRANSFER_CONFIG_NAME} in {folder}: expected RUN/model after `sslhsic transfer … --output RUN`."
            )
        try:
            return validate(cls, parse_json(read_text(path, ConfigError)), source=str(path))
        except ValueError as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"{path} is not JSON: {error}") from error
