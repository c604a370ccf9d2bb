"""Sources of training pictures: folders, tar shards, torchvision's and Hugging Face's data sets, streams.

`find_data` finds the source that a user's text describes; each kind of source has its own module.
"""

from sslhsic_transfer.data.sources.find import find_data
from sslhsic_transfer.data.sources.pretraining_data import PretrainingData
from sslhsic_transfer.data.sources.streams import Stream

__all__ = ["PretrainingData", "Stream", "find_data"]
