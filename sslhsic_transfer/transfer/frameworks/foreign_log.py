"""Conversion of another framework's training log to the lines of metrics.jsonl that `sslhsic plot` draws."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sslhsic_transfer._files import read_json_lines, write_json_lines
from sslhsic_transfer.training.run_folder import RunFolder


def take_over_log(folder: RunFolder, logs: Iterable[Path], names: Mapping[str, str], *, first_step: int) -> None:
    """Write metrics.jsonl from logs with one JSON object on each line.

    Args:
        folder: the run's folder.
        logs: the log files, oldest first; if several contain a step, the last line counts.
        names: their keys -> this library's; lines that lack a key are left out.
        first_step: their number for the first step, 0 or 1.
    """
    lines: dict[int, dict[str, Any]] = {}
    for log in logs:
        for record in read_json_lines(log):
            if names.keys() <= record.keys():
                line = {ours: record[theirs] for theirs, ours in names.items()}
                line["step"] += 1 - first_step
                lines[line["step"]] = line
    write_json_lines(folder.metrics, [lines[step] for step in sorted(lines)])
