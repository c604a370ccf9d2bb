"""NOTE plain|deterministic ARGUMENTS…: the command line, as a user calls it; works where no script is installed."""

import sys

from peak import note_peak


def main() -> None:
    note, kind, *arguments = sys.argv[1:]
    note_peak(note)
    if kind == "deterministic":
        import torch

        torch.use_deterministic_algorithms(True, warn_only=True)  # warns of operations that have none
    from sslhsic_transfer.cli import main as sslhsic

    sys.argv = ["sslhsic", *arguments]
    sslhsic()


if __name__ == "__main__":
    main()
