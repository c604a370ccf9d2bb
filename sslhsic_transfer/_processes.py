"""How many processes a launcher has started, and which of them this is."""

import os


def process_count() -> int:
    """How many processes a launcher has started; 1 where no launcher has set WORLD_SIZE."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    """Whether this is the one that writes and speaks; always, where no launcher has set RANK."""
    return os.environ.get("RANK", "0") == "0"
