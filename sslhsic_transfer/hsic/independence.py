"""The HSIC test of independence of two variables, with p-values by permutation (Gretton et al. 2007)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sslhsic_transfer.errors import InputError
from sslhsic_transfer.hsic.estimators import hsic
from sslhsic_transfer.hsic.kernels import get_kernel, squared_distances


@dataclass(frozen=True)
class IndependenceTest:
    """Result of an independence test.

    Attributes:
        statistic: the unbiased HSIC of the given pairs.
        p_value: fraction of pairings, including the given one, whose HSIC is at least as large. For independent
            variables it is at most α with probability at most α.
        permutations: number of random pairings compared.
    """

    statistic: float
    p_value: float
    permutations: int


def median_scale(points: Tensor) -> Tensor:
    """Return the median distance between distinct rows, the usual width of a kernel; 1 if all rows are equal."""
    distances = squared_distances(points, points)
    rows, columns = torch.triu_indices(len(points), len(points), offset=1, device=points.device)
    median = distances[rows, columns].median().sqrt()
    return torch.where(median > 0, median, torch.ones_like(median))


@torch.no_grad()
def independence_test(
    first: Tensor,
    second: Tensor,
    *,
    kernel: str = "gaussian",
    permutations: int = 999,
    generator: torch.Generator | None = None,
) -> IndependenceTest:
    """Test whether two paired variables are independent.

    Args:
        first: (N, D) observations, or (N,).
        second: (N, E) observations of the other variable, or (N,), in the same order.
        kernel: name of the kernel of both variables, at the scale of the median distance. The linear kernel detects
            only correlation.
        permutations: random pairings to compare with; the smallest p-value is 1 / (permutations + 1).
        generator: source of randomness, on the CPU; torch's global one by default.

    Returns:
        Statistic and p-value.

    Raises:
        InputError: numbers of rows differ or are below four, or there are no permutations.
    """
    first, second = (points[:, None] if points.ndim == 1 else points for points in (first, second))
    if first.ndim != 2 or second.ndim != 2 or len(first) != len(second) or permutations < 1:
        raise InputError(
            f"Got {tuple(first.shape)}, {tuple(second.shape)} and {permutations} permutations; expected (N, D), (N, E) "
            "and at least one."
        )
    family = get_kernel(kernel)
    first, second = (family.matrix(points.double(), scale=median_scale(points.double())) for points in (first, second))
    statistic = hsic(first, second).item()
    at_least = 1
    for _ in range(permutations):
        order = torch.randperm(len(first), generator=generator).to(first.device)
        at_least += hsic(first, second[order][:, order]).item() >= statistic
    return IndependenceTest(statistic, at_least / (permutations + 1), permutations)
