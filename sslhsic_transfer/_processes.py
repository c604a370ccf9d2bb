"""The number of processes that a launcher has started, and the role of this one."""

import os


def process_count() -> int:
    """Return the number of processes that a launcher has started; 1 if WORLD_SIZE is not set."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Tell whether this process writes files and messages; true if no launcher has set RANK."""
    return os.environ.get("RANK", "0") == "0"
