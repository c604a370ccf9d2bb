"""Encoders as backbones of mmsegmentation.

One line in a config of mmengine registers everything by its name:
``custom_imports = dict(imports=["sslhsic_transfer.adapters.mmseg"])``.
"""

import importlib
from typing import TYPE_CHECKING

from sslhsic_transfer._lazy import lazy_names
from sslhsic_transfer.adapters.mmseg.compat import make_ready

if TYPE_CHECKING:
    from sslhsic_transfer.adapters.mmseg.backbone import SSLHSICEncoder as SSLHSICEncoder
    from sslhsic_transfer.adapters.mmseg.config_runner import CONFIGS as CONFIGS
    from sslhsic_transfer.adapters.mmseg.config_runner import SSLHSICRunner as SSLHSICRunner
    from sslhsic_transfer.adapters.mmseg.dataset import SSLHSICDataset as SSLHSICDataset
    from sslhsic_transfer.adapters.mmseg.inference import evaluate as evaluate
    from sslhsic_transfer.adapters.mmseg.inference import load_segmentor as load_segmentor
    from sslhsic_transfer.adapters.mmseg.inference import predict as predict
    from sslhsic_transfer.adapters.mmseg.preprocessing import data_preprocessor as data_preprocessor
    from sslhsic_transfer.adapters.mmseg.runner import fine_tune as fine_tune

make_ready()
for _registers in ("backbone", "dataset", "transforms", "config_runner", "precision"):
    importlib.import_module(f"{__name__}.{_registers}")

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "SSLHSICEncoder": f"{__name__}.backbone",
        "SSLHSICDataset": f"{__name__}.dataset",
        "data_preprocessor": f"{__name__}.preprocessing",
        "fine_tune": f"{__name__}.runner",
    }
    | dict.fromkeys(("CONFIGS", "SSLHSICRunner"), f"{__name__}.config_runner")
    | dict.fromkeys(("evaluate", "load_segmentor", "predict"), f"{__name__}.inference"),
)
