"""Objectives by name: which networks they use, and the loss over the embeddings.

An objective takes a list of views' embeddings and returns a loss and named scalars; it is independent of the model.
Several processes may each pass their own rows, also unequal numbers of them. Loss and scalars are then those of the
global batch, and so is the mean over processes of the networks' gradients; a criterion's own parameters get the same
gradient in all processes. To add an objective, add a row to `OBJECTIVES`: `tests/contracts/test_objectives.py` checks
these properties for each, and that values are finite on degenerate embeddings.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import nn

from sslhsic_transfer.hsic.loss import SSLHSICLoss
from sslhsic_transfer.pretrain import rivals

if TYPE_CHECKING:
    from sslhsic_transfer.pretrain.recipe import Recipe

ObjectiveName = Literal["ssl-hsic", "ssl-hsic-no-target", "byol", "simclr", "vicreg", "barlow-twins"]


@dataclass(frozen=True)
class Objective:
    """Description of one objective, a row of `OBJECTIVES`.

    Attributes:
        uses_target: with a predictor and a target network the views are q(v1), q(v2), t(v2), t(v1), the last two
            without gradient; otherwise they are the projections of v1 and v2, both with gradient.
        build: function that makes the criterion, an `nn.Module` from a list of (B, d) to a loss and scalars.
        bounded: whether loss and gradient are finite on any embeddings, however large. Otherwise the loss grows with
            them, and overflows float32 where they exceed about 1e8; the run then stops.
    """

    uses_target: bool
    build: Callable[["Recipe"], nn.Module]
    bounded: bool = True


def _ssl_hsic(recipe: "Recipe") -> nn.Module:
    settings = recipe.loss
    return SSLHSICLoss(
        gamma=settings.gamma,
        kernel=settings.kernel,
        num_features=settings.num_features,
        estimator=settings.estimator,
        draws=settings.draws,
        low_noise=settings.low_noise,
        shared_draw=settings.shared_draw,
        regularizer=settings.regularizer,
        initial_scale=settings.initial_scale,
        learn_scale=settings.learn_scale,
        seed=recipe.seed,
    )


OBJECTIVES: dict[ObjectiveName, Objective] = {
    "ssl-hsic": Objective(True, _ssl_hsic),
    "ssl-hsic-no-target": Objective(False, _ssl_hsic),
    "byol": Objective(True, lambda recipe: rivals.BYOL()),
    "simclr": Objective(False, lambda recipe: rivals.NTXent(recipe.rivals.temperature)),
    "vicreg": Objective(False, lambda recipe: rivals.VICReg(), bounded=False),
    "barlow-twins": Objective(False, lambda recipe: rivals.BarlowTwins(recipe.rivals.redundancy_weight)),
}
