"""The former place of `sslhsic_transfer.data.images`, for programs that import it from here."""

import sys

from sslhsic_transfer.data import images

sys.modules[__name__] = images
