"""Every error that the library raises on purpose, in one small hierarchy.

Each also derives from the built-in exception that a caller would expect (``ValueError`` for a bad value,
``ImportError`` for a missing package, …). A message says what was found, what was expected and the fix.
"""


class SSLHSICError(Exception):
    """Base of all errors raised on purpose by sslhsic_transfer."""


class InputError(SSLHSICError, ValueError):
    """A tensor, array or image given to a model or a loss cannot be used."""


class ImageError(InputError):
    """One picture cannot be read or turned into RGB."""


class ConfigError(SSLHSICError, ValueError):
    """A recipe, an option or a config.json holds invalid values; the message lists all of them."""


class UnknownArchitectureError(ConfigError):
    """The named architecture is not in the table of architectures."""


class ModelNotFoundError(SSLHSICError, FileNotFoundError):
    """A model name or folder does not lead to weights."""


class WeightsError(SSLHSICError, RuntimeError):
    """A weights file is damaged, incomplete, or does not fit its config.json."""


class FingerprintError(WeightsError):
    """Weights or features differ from those that were recorded when the model was saved."""


class ModelFileError(SSLHSICError, RuntimeError):
    """An ONNX file is damaged, malicious, from another library, or cannot be run."""


class ExportError(SSLHSICError, RuntimeError):
    """A network cannot be exported; if an operator is the reason, the message names it."""


class VerificationError(SSLHSICError, RuntimeError):
    """An exported file's outputs differ from the encoder's; the message lists every failed check."""


class HubError(SSLHSICError, OSError):
    """The Hugging Face Hub refused or failed, or cannot be reached; the message says what to do next."""


class PublishError(SSLHSICError, ValueError):
    """A model folder cannot be published; the message lists everything missing or wrong."""


class DataError(SSLHSICError, ValueError):
    """A data folder holds no usable pictures, or not in the expected layout."""


class RunNotFoundError(SSLHSICError, FileNotFoundError):
    """A folder holds no pretraining run, or one that has logged nothing yet."""


class CheckpointError(SSLHSICError, RuntimeError):
    """A training checkpoint is missing, damaged, or belongs to another recipe."""


class DeviceMemoryError(SSLHSICError, MemoryError):
    """A device has run out of memory; the message names the setting to lower."""


class ReaderError(SSLHSICError, RuntimeError):
    """A process that reads pictures was killed; the message names the likely cause and the settings to lower."""


class StorageError(SSLHSICError, OSError):
    """The machine, not a single picture, is why files cannot be read: a missing folder or disk, too many open files."""


class TrainingError(SSLHSICError, RuntimeError):
    """Training cannot continue, for example because the loss is no longer finite."""


class StoppedError(SSLHSICError):
    """A signal stopped the work; the message says what is saved.

    Attributes:
        signal: the signal's number.
    """

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal = signal


class TrainingInterruptedError(StoppedError):
    """A signal stopped training between two steps; the state is saved."""


class OutputExistsError(SSLHSICError, FileExistsError):
    """The output already exists and would be overwritten."""


class OutputBusyError(SSLHSICError, RuntimeError):
    """Another process is writing the same output."""


class MissingDependencyError(SSLHSICError, ImportError):
    """An optional package is not installed; the message holds the command that installs it."""
