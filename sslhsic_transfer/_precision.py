"""How exactly forward passes compute, in the words of recipes, settings and arguments."""

from typing import Literal, get_args

Precision = Literal["fp32", "bf16", "fp16"]
PRECISIONS: tuple[str, ...] = get_args(Precision)
