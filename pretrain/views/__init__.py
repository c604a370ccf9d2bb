"""Two views of a picture: the asymmetric augmentations of BYOL and SSL-HSIC.

The reading processes draw random numbers, decode, crop, resize and flip one picture at a time (`two_views`). The device
that trains then changes colors, blurs and normalizes a whole batch of tensors (`ColorOperations`). If decoded pictures
are cached, a GPU also crops a whole batch at once (`cut_batch`).
"""

from sslhsic_transfer.pretrain.views.batched_crops import Crops, collate_crops, cut_batch
from sslhsic_transfer.pretrain.views.colors import ColorOperations, packed
from sslhsic_transfer.pretrain.views.crops import View, cut_views, two_views
from sslhsic_transfer.pretrain.views.draws import Colors, draw_views

__all__ = [
    "ColorOperations",
    "Colors",
    "Crops",
    "View",
    "collate_crops",
    "cut_batch",
    "cut_views",
    "draw_views",
    "packed",
    "two_views",
]
