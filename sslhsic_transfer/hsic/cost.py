"""What a forward and backward pass of the loss costs in either form, to choose the cheaper.

Counted are the operations of matrix products, and elementwise work at what it takes in their place on a CPU core; a GPU
has the same crossover to within a factor of two.
"""

from dataclasses import dataclass

from sslhsic_transfer.hsic.features import count_frequencies

# Operations of a product that take as long as the elementwise work on a kernel value, or on a random feature.
_PER_PAIR, _PER_FEATURE = 90.0, 60.0
# Operations of orthogonal directions, F vectors of d numbers, over d·F·min(d, F).
_PER_DIRECTION = 12.0


@dataclass(frozen=True)
class Workload:
    """Embeddings of a batch.

    Attributes:
        images: B, over all processes.
        views: M.
        dim: d.
        trained: how many of the views get a gradient.
        processes: which share the work.
    """

    images: int
    views: int
    dim: int
    trained: int
    processes: int = 1


def exact_operations(load: Workload) -> float:
    """Count those of kernel values of all pairs: (1 + 1 + 2τ)·n²·d for n = B·M rows, of which a share τ is trained.

    Values are made in both passes, for half of the pairs where one process has them all; the gradient is one product
    more.
    """
    rows = load.images * load.views
    halved = 1 if load.processes == 1 else 2
    share = load.trained / load.views
    return rows**2 * (load.dim * (2 * halved + 2 * share) + halved * _PER_PAIR) / load.processes


def feature_operations(
    load: Workload, num_features: int, *, draws: int, debiased: bool, low_noise: bool, shared_draw: bool = True
) -> float:
    """Count those of random features: k·n·(12·F·d + 6·D²) for k pairs of draws of D features with F frequencies.

    Projections are made in both passes and have a gradient; so has the product of two draws' features. The debiased
    regulariser takes another such product, of the images' mean features. Directions that are orthogonal are made so
    once a draw.

    Args:
        load: the embeddings.
        num_features: D.
        draws: k.
        debiased: whether the regulariser is.
        low_noise: whether features are drawn with less noise: D/2 frequencies, orthogonal; else D.
        shared_draw: whether processes share the work; else each goes through the whole batch.
    """
    frequencies = count_frequencies(num_features, paired=low_noise)
    rows = load.images * load.views
    products = 6 * num_features**2 * (1 + (1 / load.views if debiased else 0))
    each = 12 * frequencies * load.dim + products + 2 * _PER_FEATURE * num_features
    directions = 2 * _PER_DIRECTION * load.dim * frequencies * min(load.dim, frequencies) if low_noise else 0.0
    return draws * (rows * each / (load.processes if shared_draw else 1) + directions)
