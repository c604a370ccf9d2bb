"""Schedules of the learning rate, as plain functions of the step."""

import math


def learning_rate(step: int, *, peak: float, warmup_steps: int, total_steps: int) -> float:
    """Compute the learning rate of pretraining: a linear warm-up from 0, then a cosine to 0.

    Args:
        step: steps already made, from 0.
        peak: value at the end of the warm-up.
        warmup_steps: length of the warm-up.
        total_steps: length of the run.
    """
    if step < warmup_steps:
        return peak * step / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return peak * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def learning_rate_share(step: int, *, schedule: str, warmup: int, total_steps: int) -> float:
    """Compute the learning rate of a fine-tune as a share of its peak.

    Args:
        step: steps already made, from 0.
        schedule: schedule after the warm-up: ``"cosine"`` to 0, ``"poly"``, which is (1 − t)^0.9, or ``"steps"``, which
            divides by 10 at 70 % and at 90 % of the run.
        warmup: number of steps of a linear warm-up, the first of which is above 0.
        total_steps: length of the run in steps.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    t = (step - warmup) / (total_steps - warmup)
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * t))
    if schedule == "poly":
        return float((1 - t) ** 0.9)
    share = step / total_steps
    return 0.01 if share >= 0.9 else 0.1 if share >= 0.7 else 1.0
