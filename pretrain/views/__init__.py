"""Two views of a picture: the asymmetric augmentations of BYOL and SSL-HSIC.

Random numbers are drawn and the picture is decoded, cropped, resized and flipped one picture at a time (`two_views`, in
the processes that read); colours, blur and normalisation follow as tensors for a whole batch (`ColourOperations`, on
the device that trains). Where decoded pictures are kept, a GPU crops a whole batch as well (`cut_batch`).
"""

from sslhsic_transfer.pretrain.views.batched_crops import Crops, collate_crops, cut_batch
from sslhsic_transfer.pretrain.views.colours import ColourOperations, packed
from sslhsic_transfer.pretrain.views.crops import View, cut_views, two_views
from sslhsic_transfer.pretrain.views.draws import Colours, draw_views

__all__ = [
    "ColourOperations",
    "Colours",
    "Crops",
    "View",
    "collate_crops",
    "cut_batch",
    "cut_views",
    "draw_views",
    "packed",
    "two_views",
]
