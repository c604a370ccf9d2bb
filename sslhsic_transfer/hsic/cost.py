"""Cost of a forward and backward pass of the loss in its two forms, to choose the cheaper.

The operations of matrix products are counted. Elementwise work counts as the operations that take the same time on a
CPU core. On a GPU the crossover is the same to within a factor of two.
"""

from dataclasses import dataclass

from sslhsic_transfer.hsic.features import count_frequencies

# Operations of a matrix product that take as long as the elementwise work on a kernel value, or on a random feature.
_PER_PAIR, _PER_FEATURE = 90.0, 60.0
# Operations to orthogonalize F directions of d numbers, divided by d·F·min(d, F).
_PER_DIRECTION = 12.0


@dataclass(frozen=True)
class Workload:
    """Size of a batch of embeddings.

    Attributes:
        images: B, over all processes.
        views: M.
        dim: d.
        trained: number of views that get a gradient.
        processes: number of processes that share the work.
    """

    images: int
    views: int
    dim: int
    trained: int
    processes: int = 1


def exact_operations(load: Workload) -> float:
    """Count the operations for all kernel values: (1 + 1 + 2τ)·n²·d for n = B·M rows, a fraction τ of them trained.

    Kernel values are computed in both passes, and only for half of the pairs if one process has them all. The gradient
    takes one more product.
    """
    rows = load.images * load.views
    halved = 1 if load.processes == 1 else 2
    share = load.trained / load.views
    return rows**2 * (load.dim * (2 * halved + 2 * share) + halved * _PER_PAIR) / load.processes


def feature_operations(
    load: Workload, num_features: int, *, draws: int, debiased: bool, low_noise: bool, shared_draw: bool = True
) -> float:
    """Count the operations for random features: k·n·(12·F·d + 6·D²) for k pairs of draws of D features, F frequencies.

    Projections are computed in both passes and have a gradient, as does the product of two draws' features. The
    debiased regularizer takes one more such product, of the images' mean features. Orthogonal directions are computed
    once for each draw.

    Args:
        load: the embeddings.
        num_features: D.
        draws: k.
        debiased: whether the regularizer is debiased.
        low_noise: whether features are drawn with less noise: D/2 orthogonal frequencies; else D frequencies.
        shared_draw: whether processes share the work; else each processes the whole batch.
    """
    frequencies = count_frequencies(num_features, paired=low_noise)
    rows = load.images * load.views
    products = 6 * num_features**2 * (1 + (1 / load.views if debiased else 0))
    each = 12 * frequencies * load.dim + products + 2 * _PER_FEATURE * num_features
    directions = 2 * _PER_DIRECTION * load.dim * frequencies * min(load.dim, frequencies) if low_noise else 0.0
    return draws * (rows * each / (load.processes if shared_draw else 1) + directions)
