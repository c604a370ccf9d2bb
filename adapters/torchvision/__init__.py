"""Torchvision's networks over an encoder, which need no compilation and no other packages."""

from typing import TYPE_CHECKING

from sslhsic_transfer._lazy import lazy_names

if TYPE_CHECKING:
    from sslhsic_transfer.adapters.torchvision.classification import Classifier as Classifier
    from sslhsic_transfer.adapters.torchvision.detection import faster_rcnn as faster_rcnn
    from sslhsic_transfer.adapters.torchvision.detection import mask_rcnn as mask_rcnn
    from sslhsic_transfer.adapters.torchvision.detection import retinanet as retinanet
    from sslhsic_transfer.adapters.torchvision.segmentation import deeplabv3 as deeplabv3
    from sslhsic_transfer.adapters.torchvision.segmentation import fcn as fcn
    from sslhsic_transfer.adapters.torchvision.segmentation import lraspp as lraspp

__getattr__, __dir__ = lazy_names(
    __name__,
    {"Classifier": f"{__name__}.classification"}
    | dict.fromkeys(("faster_rcnn", "mask_rcnn", "retinanet"), f"{__name__}.detection")
    | dict.fromkeys(("deeplabv3", "fcn", "lraspp"), f"{__name__}.segmentation"),
)
