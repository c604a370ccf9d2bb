"""An encoder's normalization as a config of mmsegmentation."""

from pathlib import Path
from typing import Any

from sslhsic_transfer.data.labelled.segmentation import IGNORED
from sslhsic_transfer.hub.encoder import Encoder, as_encoder


def data_preprocessor(encoder: Encoder | str | Path, size: tuple[int, int] | None = None) -> dict[str, Any]:
    """Make the config of mmseg's ``SegDataPreProcessor`` that normalizes pictures as an encoder expects.

    Args:
        encoder: an encoder, or what `from_pretrained` takes.
        size: (height, width) that training pictures are padded to with the mean color, and masks with "ignored".

    Returns:
        The config, for pictures in BGR order on 0 … 255, as mmseg loads them.
    """
    mean, std = as_encoder(encoder).preprocessing.on_255()
    return {
        "type": "SegDataPreProcessor",
        "mean": mean,
        "std": std,
        "bgr_to_rgb": True,
        "pad_val": 0,
        "seg_pad_val": IGNORED,
        "size": size,
    }
