"""Numbers that change over a run, as plain functions of the step."""

import math


def learning_rate(step: int, *, peak: float, warmup_steps: int, total_steps: int) -> float:
    """Linear warm-up from 0, then a cosine to 0.

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


def warmup_steps(epochs: float, *, pictures: int, batch_size: int) -> int:
    """Whole steps of a warm-up of so many epochs; what is left of a step falls away, as in the released code."""
    return math.floor(epochs * pictures / batch_size)


def target_decay(step: int, *, start: float, total_steps: int) -> float:
    """Decay τ of the target network, 1 − (1 − τ₀)·(cos(πk/K) + 1)/2: from τ₀ to 1 (BYOL, section 3.3)."""
    return 1 - (1 - start) * (math.cos(math.pi * min(1.0, step / total_steps)) + 1) / 2


def average_weight(step: int, *, decay: float) -> float:
    """Weight of the newest value in a zero-debiased exponential average after ``step`` ≥ 1 values.

    Moving an average towards the newest value by this share gives Σ d^(t−i)·xᵢ / Σ d^(t−i): no trace of the start.
    """
    return (1 - decay) / (1 - decay**step)
