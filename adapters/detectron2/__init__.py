"""Detectron2's detectors over an encoder; Detectron2 is imported when a name below is first used."""

from typing import TYPE_CHECKING

from sslhsic_transfer._lazy import lazy_names

if TYPE_CHECKING:
    from sslhsic_transfer.adapters.detectron2.backbone import SSLHSICBackbone as SSLHSICBackbone
    from sslhsic_transfer.adapters.detectron2.config import add_sslhsic_config as add_sslhsic_config
    from sslhsic_transfer.adapters.detectron2.config import config_file as config_file
    from sslhsic_transfer.adapters.detectron2.config import configure as configure
    from sslhsic_transfer.adapters.detectron2.config import load_config as load_config
    from sslhsic_transfer.adapters.detectron2.dataset import register as register
    from sslhsic_transfer.adapters.detectron2.dataset import register_folder as register_folder
    from sslhsic_transfer.adapters.detectron2.detector import Detector as Detector
    from sslhsic_transfer.adapters.detectron2.detector import load_detector as load_detector
    from sslhsic_transfer.adapters.detectron2.loading import build_test_loader as build_test_loader
    from sslhsic_transfer.adapters.detectron2.loading import build_train_loader as build_train_loader
    from sslhsic_transfer.adapters.detectron2.mapper import PictureMapper as PictureMapper
    from sslhsic_transfer.adapters.detectron2.runner import fine_tune as fine_tune

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "SSLHSICBackbone": f"{__name__}.backbone",
        "add_sslhsic_config": f"{__name__}.config",
        "config_file": f"{__name__}.config",
        "configure": f"{__name__}.config",
        "load_config": f"{__name__}.config",
        "register": f"{__name__}.dataset",
        "register_folder": f"{__name__}.dataset",
        "Detector": f"{__name__}.detector",
        "load_detector": f"{__name__}.detector",
        "build_test_loader": f"{__name__}.loading",
        "build_train_loader": f"{__name__}.loading",
        "PictureMapper": f"{__name__}.mapper",
        "fine_tune": f"{__name__}.runner",
    },
)
