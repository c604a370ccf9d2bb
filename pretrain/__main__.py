"""Entry point of ``accelerate launch -m sslhsic_transfer.pretrain RECIPE …``, same as ``sslhsic pretrain RECIPE …``."""

import sys

from sslhsic_transfer.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["pretrain"]
    main()
