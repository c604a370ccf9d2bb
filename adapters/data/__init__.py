"""The former place of `sslhsic_transfer.data.labelled`, for programs that import its modules from here."""

import sys

from sslhsic_transfer.data.labelled import classification, depth, detection, segmentation

for _module in (classification, depth, detection, segmentation):
    sys.modules[f"{__name__}.{_module.__name__.rpartition('.')[2]}"] = _module
