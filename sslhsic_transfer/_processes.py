"""Which of several processes of a launcher this is."""

import os


def is_main_process() -> bool:
    """Whether this is the one that writes and speaks; always, where no launcher has set RANK."""
    return os.environ.get("RANK", "0") == "0"
