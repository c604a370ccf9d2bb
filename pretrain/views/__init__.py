"""Two views of a picture: the asymmetric augmentations of BYOL and SSL-HSIC.

Random numbers are drawn and the picture is decoded, cropped, resized and flipped one picture at a time (`two_views`, in
the processes that read); colours, blur and normalisation follow as tensors for a whole batch (`ColourOperations`, on
the device that trains).
"""

from sslhsic_transfer.pretrain.views.colours import ColourOperations
from sslhsic_transfer.pretrain.views.crops import View, two_views
from sslhsic_transfer.pretrain.views.draws import Colours

__all__ = ["ColourOperations", "Colours", "View", "two_views"]
