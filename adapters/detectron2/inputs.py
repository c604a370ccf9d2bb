"""Detectron2's settings of an encoder's input: RGB, and the encoder's mean and standard deviation on 0 to 255."""

from typing import Any

from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.hub.encoder import Encoder

FORMAT = "RGB"


def check_inputs(cfg: Any, encoder: Encoder) -> None:
    """Check that pictures are prepared as they were when the encoder was trained.

    Raises:
        ConfigError: they are not; the message lists the differences and the fix.
    """
    mean, std = encoder.preprocessing.on_255()
    found = {
        "INPUT.FORMAT": (cfg.INPUT.FORMAT, FORMAT),
        "MODEL.PIXEL_MEAN": ([round(float(value), 3) for value in cfg.MODEL.PIXEL_MEAN], [round(v, 3) for v in mean]),
        "MODEL.PIXEL_STD": ([round(float(value), 3) for value in cfg.MODEL.PIXEL_STD], [round(v, 3) for v in std]),
    }
    if problems := [f"{key}: got {got}; expected {wanted}" for key, (got, wanted) in found.items() if got != wanted]:
        raise ConfigError(
            "The pictures are not prepared as the encoder expects them; call configure(cfg, encoder).\n"
            + "\n".join(problems)
        )
