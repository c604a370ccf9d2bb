"""Measures of a training step's health, and the guard that stops a collapsed run."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sslhsic_transfer.pretrain.sections import MonitorSettings


@torch.no_grad()
def embedding_std(embeddings: Tensor) -> Tensor:
    """Compute the standard deviation of ℓ2-normalized embeddings, averaged over dimensions and multiplied by √d.

    It is 1 if they spread evenly over the sphere, and 0 if all are the same (complete collapse). Chen and He (2021,
    section 4.1) compare the deviation without the factor with 1/√d.

    Args:
        embeddings: (B, d), B ≥ 2.

    Returns:
        A scalar.
    """
    points = F.normalize(embeddings.float(), dim=1)
    return points.std(dim=0, correction=0).mean() * points.shape[1] ** 0.5


@torch.no_grad()
def gradient_norm(parameters: Iterable[nn.Parameter], loss_scale: float = 1.0) -> Tensor:
    """Compute the ℓ2 norm of the gradient of all parameters together, a scalar.

    Args:
        parameters: the parameters; those without a gradient are left out.
        loss_scale: the factor by which a gradient scaler multiplied the loss.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return torch.stack(list(torch._foreach_norm(gradients))).norm() / loss_scale


class CollapseGuard:
    """Detector of collapse: of embeddings that have all become the same and stay so.

    Args:
        settings: the least `embedding_std`, and the number of consecutive logged steps below it that mean collapse.
    """

    def __init__(self, settings: MonitorSettings) -> None:
        self._least = settings.collapse_std
        self._patience = settings.collapse_patience
        self._below = 0

    @property
    def suspicious(self) -> bool:
        """True if the last logged step of a guarded run looked collapsed, so that its state is not worth saving."""
        return self._patience > 0 and self._below > 0

    def observe(self, std: float) -> bool:
        """Add a logged step's `embedding_std` and return True if the run has collapsed."""
        self._below = self._below + 1 if std < self._least else 0
        return 0 < self._patience <= self._below

    def diagnosis(self, scalars: dict[str, float]) -> str:
        """Describe the collapse and its usual causes."""
        seen = ", ".join(
            f"{name} {scalars[name]:.4g}"
            for name in ("embedding_std", "hsic_zy", "hsic_zz", "kernel_scale", "gradient_norm", "learning_rate")
            if name in scalars
        )
        causes = ["a learning rate that is too high, or a warm-up that is too short"]
        if "hsic_zz" in scalars:
            causes.append("loss.gamma too large for the batch (loss.regularizer=debiased serves batches below 1,000)")
        if "target_decay" in scalars:
            causes.append("a target network that follows too fast (target_decay too low)")
        return (
            f"The embeddings have collapsed: in each of the last {self._below} logged steps their standard deviation "
            f"was below {self._least} of an even spread ({seen}). Usual causes: {'; '.join(causes)}."
        )
