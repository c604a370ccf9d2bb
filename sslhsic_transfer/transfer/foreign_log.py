"""What another framework's trainer has logged, as the lines of metrics.jsonl that `sslhsic plot` draws."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sslhsic_transfer._files import read_json_lines, write_json_lines
from sslhsic_transfer.training.run_folder import RunFolder


def take_over_log(folder: RunFolder, logs: Iterable[Path], names: Mapping[str, str], *, first_step: int) -> None:
    """Write metrics.jsonl from logs of one JSON object a line.

    Args:
        folder: the run's.
        logs: in the order in which they were begun; of a step that stands in several, the last line counts.
        names: their keys -> ours; lines without all of them are of something else and are left out.
        first_step: what they call the first step, 0 or 1.
    """
    lines: dict[int, dict[str, Any]] = {}
    for log in logs:
        for record in read_json_lines(log):
            if names.keys() <= record.keys():
                line = {ours: record[theirs] for theirs, ours in names.items()}
                line["step"] += 1 - first_step
                lines[line["step"]] = line
    write_json_lines(folder.metrics, [lines[step] for step in sorted(lines)])
