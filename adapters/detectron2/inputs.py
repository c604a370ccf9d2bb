"""How Detectron2 must prepare pictures for an encoder: RGB, with its mean and standard deviation, on 0 to 255."""

from typing import Any

from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.models.encoder import Encoder

FORMAT = "RGB"


def check_inputs(cfg: Any, encoder: Encoder) -> None:
    """Refuse settings that feed an encoder other numbers than it was trained on.

    Raises:
        ConfigError: what differs, and the fix.
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
