"""Schedules of pretraining, as plain functions of the step."""

import math


def warmup_steps(epochs: float, *, pictures: int, batch_size: int) -> int:
    """Compute the number of warm-up steps from epochs, rounded down, as in the released code."""
    return math.floor(epochs * pictures / batch_size)


def target_decay(step: int, *, start: float, total_steps: int) -> float:
    """Compute the decay τ of the target network, 1 − (1 − τ₀)·(cos(πk/K) + 1)/2: from τ₀ to 1 (BYOL, section 3.3)."""
    return 1 - (1 - start) * (math.cos(math.pi * min(1.0, step / total_steps)) + 1) / 2


def average_weight(step: int, *, decay: float) -> float:
    """Compute the weight of the newest value in a zero-debiased exponential average after ``step`` ≥ 1 values.

    Moving an average toward the newest value by this weight gives Σ d^(t−i)·xᵢ / Σ d^(t−i), which does not depend on
    where the average started.
    """
    return (1 - decay) / (1 - decay**step)
