"""Records of evaluation results in results.json, from which tables and cards are made."""

import datetime
import platform
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from sslhsic_transfer._config import validate
from sslhsic_transfer._files import json_text, write_text
from sslhsic_transfer._json import read_json
from sslhsic_transfer._locks import changing
from sslhsic_transfer._processes import process_count
from sslhsic_transfer.errors import ConfigError

if TYPE_CHECKING:
    import torch

RESULTS_NAME = "results.json"
# Metrics shown in percent.
_SHARES = {"top-1", "top-5", "mean per class", "mIoU", "pixel accuracy", "AP", "AP50", "AP75", "delta1"}
LOWER_IS_BETTER = {"abs_rel", "rmse"}


class Result(BaseModel):
    """One measured value and the facts needed to understand it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(description="Name of the evaluated model, as the user gave it.")
    task: str = Field(description="Kind of evaluation, such as 'knn' or 'linear'.")
    dataset: str = Field(description="Name of the data set's folder.")
    split: str = Field(description="Name of the split that was tested.")
    framework: str | None = Field(
        default=None, description="Framework of the network that was trained on top of the encoder; null: none."
    )
    protocol: str = Field(description="Every choice that affects the value, in one line.")
    metric: str = Field(description="Name of the metric, such as 'top-1'.")
    value: float = Field(allow_inf_nan=False, description="Measured value; with several seeds, their mean.")
    std: float | None = Field(
        default=None, allow_inf_nan=False, description="Standard deviation over the seeds; null: there is only one."
    )
    seeds: list[int] = Field(default=[0], description="Seeds that the measurement was run with.")
    n: int = Field(ge=1, description="Number of test examples.")
    weights_sha256: str | None = Field(default=None, description="SHA-256 of the model's weights; null: none recorded.")
    commit: str | None = Field(
        default=None, description="Git commit of the code; null: the code does not run from a repository."
    )
    date: str = Field(description="Date of the measurement in UTC, as in ISO 8601.")
    hardware: str = Field(description="Processor or accelerator that computed the value.")

    @property
    def tested(self) -> str:
        """The data set, split and framework, for the first column of a table."""
        return f"{self.dataset}, {self.split}" + (f" ({self.framework})" if self.framework else "")

    def figure(self) -> str:
        """Return the value as text: fractions in percent, and with the deviation if there are several seeds."""
        scale, digits, unit = _form(self.metric)
        spread = "" if self.std is None else f" ± {scale * self.std:.{digits}f}"
        return f"{scale * self.value:.{digits}f}{spread}{unit}"


def _form(metric: str) -> tuple[int, int, str]:
    """Return how a metric is written: scale, digits, unit."""
    if metric in _SHARES or metric.endswith("agreement"):
        return 100, 1, " %"
    if "cosine" in metric:  # of files whose outputs are nearly the same
        return 1, 5, ""
    return (1, 0, "") if " a second" in metric else (1, 3, "")


def tested_on(folder: str | Path) -> dict[str, str]:
    """Return data set and split of a folder of pictures: the names of its parent folder and of the folder itself."""
    root = Path(folder).resolve()
    return {"dataset": root.parent.name, "split": root.name}


def new_result(**facts: Any) -> Result:
    """Create a record; fill in today's date, this machine and the code's commit unless they are given.

    Args:
        facts: fields of `Result`; pass ``hardware`` if it differs from what `hardware` returns for this process.
    """
    stamp = {
        "commit": _commit(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "hardware": hardware(),
    }
    return validate(Result, stamp | facts, source="Result")


def load_results(path: str | Path) -> list[Result]:
    """Read a results.json.

    Raises:
        ConfigError: the file is not a results.json.
    """
    return _read(Path(path))[1]


def _read(path: Path) -> tuple[dict[str, Any], list[Result]]:
    """Return the whole content of a results.json, and its records."""
    try:
        document = read_json(path)
        rows = document["results"]
        if not isinstance(rows, list):
            raise TypeError(f"'results' is a {type(rows).__name__}")
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ConfigError(f"{path} is not a results.json: {error!r}. Expected {{'results': […]}}.") from error
    return document, [validate(Result, row, source=f"{path}, record {number}") for number, row in enumerate(rows)]


def over_seeds(results: Sequence[Result]) -> Result:
    """Combine records of the same measurement with several seeds: mean, and sample standard deviation."""
    values = [result.value for result in results]
    spread = {"std": statistics.stdev(values)} if len(values) > 1 else {}
    seeds = [seed for result in results for seed in result.seeds]
    return results[0].model_copy(update={"value": statistics.fmean(values), "seeds": seeds, **spread})


def save_results(path: str | Path, results: Sequence[Result]) -> None:
    """Add records to a results.json; a record of the same measurement as an older one replaces it.

    Several processes may add to the same file at once.

    Raises:
        ConfigError: the file exists and is not a results.json; it is not changed.
        OutputBusyError: another process has held the file for a minute.
    """
    path = Path(path).resolve()  # write to a link's target, not over the link
    with changing(path):
        document, older = _read(path) if path.exists() else ({}, [])
        merged = {_key(result): result for result in (*older, *results)}
        write_text(path, _text([*merged.values()], document))


def check_results(path: str | Path) -> None:
    """Check before any work that records can be added to a file.

    Raises:
        ConfigError: the file exists and is not a results.json.
        OutputBusyError: another process has held the file for a minute.
        OSError: the file cannot be written.
    """
    path = Path(path)
    with changing(path.resolve()):
        if path.exists():
            _read(path)


def results_text(results: Sequence[Result]) -> str:
    """Return records as the text of a results.json."""
    return _text(results, {})


def _text(results: Sequence[Result], others: dict[str, Any]) -> str:
    """Return records, and the other content of a file, as text."""
    return json_text(others | {"results": [result.model_dump(mode="json") for result in results]})


def _key(result: Result) -> tuple[str, ...]:
    return (result.model, result.task, result.dataset, result.split, result.protocol, result.metric)


def _commit() -> str | None:
    here = Path(__file__).parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        ours = subprocess.run(
            ["git", "-C", str(here), "ls-files", "--error-unmatch", Path(__file__).name],
            capture_output=True,
            timeout=10,
        )
        if ours.returncode != 0:  # installed in an environment within another project's repository
            return None
        return subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.strip() or None
    except (OSError, subprocess.TimeoutExpired):
        return None


def hardware(device: "torch.device | str | None" = None) -> str:
    """Describe the hardware used for computing, in a few words.

    Args:
        device: by default an accelerator if there is one, else the CPU.
    """
    import torch

    from sslhsic_transfer._devices import default_device
    from sslhsic_transfer._precision import tensor_float_32

    place = torch.device(device) if device is not None else default_device()
    if place.type == "cuda":
        return f"{process_count()} × {torch.cuda.get_device_name(place)}, {tensor_float_32()}"
    if place.type != "cpu":
        return f"{platform.machine()}, {place.type}"
    threads = torch.get_num_threads()
    return f"{platform.machine()} CPU, {threads} thread{'s' * (threads > 1)}"
