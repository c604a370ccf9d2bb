"""Objectives by name: which embeddings go into the loss, and whether a target network provides some of them.

An objective takes a list of views' embeddings and returns a loss and named scalars; it knows no model.
To add one, add a row to `OBJECTIVES`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sslhsic_transfer.hsic.loss import SSLHSICLoss

if TYPE_CHECKING:
    from sslhsic_transfer.pretrain.recipe import LossSettings

ObjectiveName = Literal["ssl-hsic", "ssl-hsic-no-target"]


@dataclass(frozen=True)
class Objective:
    """One row of the table.

    Attributes:
        uses_target: whether the views of a target network (without gradient) and a predictor take part.
        summary: what it is, in a line.
    """

    uses_target: bool
    summary: str


OBJECTIVES: dict[ObjectiveName, Objective] = {
    "ssl-hsic": Objective(True, "SSL-HSIC over q(v1), q(v2) and the target's projections of v2, v1: M = 4"),
    "ssl-hsic-no-target": Objective(False, "SSL-HSIC over the projections of v1 and v2, both with gradient: M = 2"),
}


def build_criterion(settings: "LossSettings", seed: int) -> SSLHSICLoss:
    """The loss of a recipe."""
    return SSLHSICLoss(
        gamma=settings.gamma,
        kernel=settings.kernel,
        num_features=settings.num_features,
        regularizer=settings.regularizer,
        learn_scale=settings.learn_scale,
        seed=seed,
    )
