"""Hook that stops a diverged run, which mmengine itself would continue and save."""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.hooks import Hook

from sslhsic_transfer.errors import TrainingError
from sslhsic_transfer.training.divergence import divergence


class DivergenceHook(Hook):  # type: ignore[misc]
    """Hook that stops a run whose loss or weights are no longer finite, before they are logged or saved.

    Args:
        intervals: iterations between lines of the log, and between checkpoints.
        causes: usual causes, for the message.
    """

    def __init__(self, intervals: tuple[int, ...], causes: str) -> None:
        self.intervals = intervals
        self.causes = causes

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Mapping[str, Any] | None = None
    ) -> None:
        """Check loss and weights if something is about to be logged or saved.

        Raises:
            TrainingError: loss or weights are not finite.
        """
        due = any(self.every_n_train_iters(runner, interval) for interval in self.intervals)
        if not (due or self.is_last_train_iter(runner)):
            return
        loss = torch.as_tensor((outputs or {})["loss"]).item()
        if message := divergence(loss, runner.model.parameters(), runner.iter + 1, self.causes):
            raise TrainingError(message)
