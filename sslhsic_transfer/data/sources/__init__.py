"""Where pictures to train on come from: folders, tar shards, torchvision's and Hugging Face's data sets, streams.

`find_data` understands what a user types; each kind of source is a file here.
"""

from sslhsic_transfer.data.sources.find import find_data
from sslhsic_transfer.data.sources.found import PretrainingData
from sslhsic_transfer.data.sources.streams import Stream

__all__ = ["PretrainingData", "Stream", "find_data"]
