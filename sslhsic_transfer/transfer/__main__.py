"""``accelerate launch -m sslhsic_transfer.transfer TASK …``: the same as ``sslhsic transfer TASK …``."""

import sys

from sslhsic_transfer.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["transfer"]
    main()
