"""The keys of config.json that timm reads (and transformers through timm), so that they load the same folder."""

from typing import Any

from sslhsic_transfer.models.config import FAMILIES, EncoderConfig, family_of
from sslhsic_transfer.models.preprocessing import Preprocessing


def timm_config(encoder: EncoderConfig, preprocessing: Preprocessing) -> dict[str, Any]:
    """Return timm's part of config.json; empty if timm cannot compute the same.

    Timm lacks some networks (small stem, SAME padding, wide), and cannot crop before it resizes (style byol-jax).
    """
    if (encoder.stem, encoder.padding, encoder.width) != ("imagenet", "torch", 1):
        return {}
    if preprocessing.style != "torchvision":
        return {}
    size = preprocessing.crop
    resnet = family_of(encoder.architecture) is FAMILIES["resnet"]
    return {
        "architecture": encoder.architecture,
        "num_classes": 0,
        "num_features": encoder.feature_dim,
        **({"global_pool": "avg"} if resnet else {}),  # the others pool as their architecture does
        "pretrained_cfg": {
            "input_size": [3, size, size],
            "interpolation": preprocessing.interpolation,
            "crop_pct": size / preprocessing.resize,
            "mean": list(preprocessing.mean),
            "std": list(preprocessing.std),
            "num_classes": 0,
            **(
                {"first_conv": "conv1", "classifier": "fc", "pool_size": [-(-size // 32), -(-size // 32)]}
                if resnet
                else {}
            ),
        },
    }
