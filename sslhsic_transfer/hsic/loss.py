"""The SSL-HSIC loss, −HSIC(Z, Y) + γ·√HSIC(Z, Z), linear in the batch and exact across processes.

Li, Pogodin, Sutherland and Gretton, "Self-Supervised Learning with Kernel Dependence Maximization", NeurIPS 2021
(arXiv 2106.08320), section 3. Z are ℓ2-normalised embeddings, Y is the identity of the image that a view comes from.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from sslhsic_transfer._seeds import mix_seed
from sslhsic_transfer.errors import ConfigError, InputError
from sslhsic_transfer.hsic.distributed import sum_over_processes
from sslhsic_transfer.hsic.features import Features, LinearFeatures, RandomFeatures, draw_features
from sslhsic_transfer.hsic.groups import BiasedHSIC, UnbiasedHSIC
from sslhsic_transfer.hsic.kernels import get_kernel
from sslhsic_transfer.hsic.scale import with_scale_gradient
from sslhsic_transfer.hsic.sums import Summand, batch_sums, blocks

Regularizer = Literal["biased", "debiased"]

# Below this, √HSIC(Z,Z) is held constant: its true gradient there is unbounded and carries no information.
_SMALLEST_HSIC_ZZ = 1e-12


class HSICTerms(NamedTuple):
    """The terms of the loss and how far to trust the first, each a scalar tensor.

    Attributes:
        zy: HSIC(Z, Y).
        zz: HSIC(Z, Z).
        zy_noise: standard deviation of ``zy`` over draws of features, estimated from the two draws at hand.
    """

    zy: Tensor
    zz: Tensor
    zy_noise: Tensor


def ssl_hsic_loss(
    embeddings: Tensor,
    draws: tuple[Features, Features],
    scale: Tensor,
    *,
    gamma: float = 3.0,
    regularizer: Regularizer = "biased",
) -> tuple[Tensor, HSICTerms]:
    """Evaluate the loss for given random features.

    Args:
        embeddings: (B, M, d), unit vectors: M views of each of B images. In a process group, this rank's images.
        draws: two independent draws of features; the first serves HSIC(Z, Y) and, with the second, HSIC(Z, Z).
            Every rank must hold the same two.
        scale: the kernel scale c; neither term has a gradient for it.
        gamma: weight of √HSIC(Z, Z).
        regularizer: ``"biased"`` is the paper's HSIC(Z, Z). ``"debiased"`` is its unbiased estimate, without products
            of an image with itself, which no encoder can decorrelate and which dominate in small batches.

    Returns:
        The loss and its terms; of the global batch, the same on every rank.

    Raises:
        InputError: embeddings of another shape, or of fewer than two views.
        ConfigError: an unknown regulariser.
    """
    _check_regularizer(regularizer)
    if embeddings.ndim != 3 or embeddings.shape[1] < 2 or 0 in embeddings.shape:
        raise InputError(f"Got embeddings of shape {tuple(embeddings.shape)}; expected (B, M, d) with M ≥ 2 views.")
    first, second = (draw.at(scale.detach()) for draw in draws)
    draws = first, second
    summand = _LossSums(BiasedHSIC() if regularizer == "biased" else UnbiasedHSIC(*_centres(embeddings, draws)))
    images, *sums = batch_sums(embeddings, draws, summand)
    zy, zy_again = (
        _hsic_zy(total, positives, images, views=embeddings.shape[1]) for total, positives in (sums[:2], sums[2:4])
    )
    zz = summand.regularizer.estimate(tuple(sums[4:]), images)

    loss = -zy + gamma * zz.clamp_min(_SMALLEST_HSIC_ZZ).sqrt()
    return loss, HSICTerms(zy, zz, (zy - zy_again).abs().detach() / math.sqrt(2))


class _LossSums(Summand):
    """The number of images, what HSIC(Z, Y) takes for each draw, and what HSIC(Z, Z) takes for both."""

    def __init__(self, regularizer: BiasedHSIC | UnbiasedHSIC) -> None:
        self.regularizer = regularizer

    def sums(self, first: Tensor, second: Tensor) -> tuple[Tensor, ...]:
        images = first.new_full((), float(len(first)))
        zy = [part for features in (first, second) for part in (features.sum(dim=(0, 1)), _positives(features))]
        return images, *zy, *self.regularizer.sums(first, second)

    def inner(self, first: Tensor, second: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        _, total, positives, _, _, *others = weights  # the second draw's HSIC(Z, Y) is for its noise alone
        zy = (first @ total).sum() + positives * _positives(first)
        return zy + self.regularizer.inner(first, second, tuple(others))


def _positives(features: Tensor) -> Tensor:
    return features.sum(dim=1).square().sum()


def _hsic_zy(total: Tensor, positives: Tensor, images: Tensor, views: int) -> Tensor:
    """Mean kernel value of an image's pairs of views less that of all pairs."""
    rows = images * views
    return positives / (rows * (views - 1)) - (total / rows).square().sum() - 1.0 / (views - 1)


@torch.no_grad()
def _centres(embeddings: Tensor, draws: tuple[Features, Features]) -> Iterable[Tensor]:
    """Each draw's mean feature, near enough to the global batch's: that of every process's first block."""
    means = [draw(blocks(embeddings)[0]).mean(dim=(0, 1)) for draw in draws]
    total = sum_over_processes(torch.cat([*means, embeddings.new_ones(1)]))
    return (total[:-1] / total[-1]).split([len(mean) for mean in means])


class SSLHSICLoss(nn.Module):
    """−HSIC(Z, Y) + γ·√HSIC(Z, Z) of the views' embeddings.

    >>> criterion = SSLHSICLoss()
    >>> loss, scalars = criterion([q1, q2, t2.detach(), t1.detach()])  # each (B, d)

    Features are drawn anew at every call, once for all views. The kernel scale is the module's only parameter; the
    loss hands it the gradient of its own objective (see `sslhsic_transfer.hsic.scale`), so give
    ``criterion.parameters()`` to an optimiser (the paper: Adam, 3e-4) to learn it, or do not, to keep it.

    In an initialised process group each rank passes its own rows and gets the global batch's loss and, averaged over
    ranks as DistributedDataParallel does, the global batch's gradient. `torch.compile` leaves the loss as it is: matrix
    products are most of its time, and its random draws must not be frozen into a graph.

    Args:
        gamma: weight of the regulariser; 3 in the paper.
        kernel: ``"imq"`` (inverse multiquadric, the paper's), ``"gaussian"``, ``"laplace"`` or ``"linear"`` (the
            cosine; exact, without random features or scale).
        num_features: D, random features of a draw; 512 in the paper.
        generator: where random features come from. By default each call's draw is a function of ``seed`` and of the
            number of calls so far, which is part of the state dict. With a generator of your own, seed it alike on
            every rank and save its state yourself.
        regularizer: ``"biased"`` (the paper's) or ``"debiased"``, see `ssl_hsic_loss`.
        initial_scale: kernel scale at the start.
        learn_scale: whether the scale gets a gradient.
        orthogonal: whether the directions of random features are orthogonal.
        seed: seed of the built-in draws; must agree between ranks.

    Raises:
        ConfigError: an argument is out of range.
    """

    def __init__(
        self,
        gamma: float = 3.0,
        kernel: str = "imq",
        num_features: int = 512,
        generator: torch.Generator | None = None,
        *,
        regularizer: Regularizer = "biased",
        initial_scale: float = 1.0,
        learn_scale: bool = True,
        orthogonal: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not (0 <= gamma < math.inf and num_features >= 1 and 0 < initial_scale < math.inf):
            raise ConfigError(
                f"Got gamma={gamma}, num_features={num_features}, initial_scale={initial_scale}; "
                "expected finite gamma ≥ 0, num_features ≥ 1 and finite initial_scale > 0."
            )
        _check_regularizer(regularizer)
        self.gamma = gamma
        self.kernel = get_kernel(kernel)
        self.num_features = num_features
        self.regularizer: Regularizer = regularizer
        self.generator = generator
        self.seed = seed
        self.orthogonal = orthogonal
        self.draws_made = 0
        learnable = learn_scale and self.kernel.slope is not None
        self.kernel_scale = nn.Parameter(torch.tensor(float(initial_scale)), requires_grad=learnable)

    @torch.compiler.disable
    def forward(
        self, views: Sequence[Tensor], draws: tuple[Features, Features] | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss.

        Args:
            views: M ≥ 2 tensors of shape (B, d); row i of each is a view of image i. Normalisation is done here. Those
                that need no gradient (a target network's) come detached. Computed in float32 at least, under
                autocast too.
            draws: two draws of features at scale 1, as `draw` makes them, for those who draw ahead; None: drawn here.

        Returns:
            The loss and detached scalars: ``hsic_zy``, ``hsic_zz``, ``hsic_zy_noise`` (see `HSICTerms`) and
            ``kernel_scale``.

        Raises:
            InputError: fewer than two views, views that differ in shape or are not floating, or a batch without rows.
        """
        _check_views(views)
        with torch.autocast(views[0].device.type, enabled=False):
            stacked = torch.stack([view if view.dtype == torch.float64 else view.float() for view in views], dim=1)
            embeddings = unit_vectors(stacked)
            scale = self.kernel_scale.detach()
            loss, terms = ssl_hsic_loss(
                embeddings,
                draws or self.draw(embeddings.shape[-1], embeddings.device),
                scale,
                gamma=self.gamma,
                regularizer=self.regularizer,
            )
            if self.kernel_scale.requires_grad and torch.is_grad_enabled():
                loss = with_scale_gradient(loss, embeddings.detach(), self.kernel_scale, self.kernel)
        return loss, {
            "hsic_zy": terms.zy.detach(),
            "hsic_zz": terms.zz.detach(),
            "hsic_zy_noise": terms.zy_noise,
            "kernel_scale": scale.clone(),
        }

    def draw(self, dim: int, device: torch.device) -> tuple[Features, Features]:
        """Draw the two features of the next call.

        Args:
            dim: d, width of the embeddings.
            device: where the features are to be.
        """
        generator = self.generator
        if generator is None:
            generator = torch.Generator(device).manual_seed(mix_seed(self.seed, self.draws_made))
            self.draws_made += 1
        first, second = (
            draw_features(
                self.kernel,
                dim,
                self.num_features,
                orthogonal=self.orthogonal,
                generator=generator,
                device=generator.device,
            )
            for _ in range(2)
        )
        return _to(first, device), _to(second, device)

    def get_extra_state(self) -> Tensor:
        """The number of draws made, which with the seed fixes all further ones."""
        return torch.tensor(self.draws_made)

    def set_extra_state(self, state: Any) -> None:
        """Continue with the draw that follows a saved state's last."""
        self.draws_made = int(state)

    def extra_repr(self) -> str:
        """The settings, for ``print(criterion)``."""
        return (
            f"gamma={self.gamma}, kernel={self.kernel.name!r}, num_features={self.num_features}, "
            f"regularizer={self.regularizer!r}"
        )


def unit_vectors(vectors: Tensor) -> Tensor:
    """Scale each vector of the last dimension to norm 1; no finite one overflows, and a zero one stays zero.

    Args:
        vectors: (…, d).
    """
    largest = vectors.detach().abs().amax(dim=-1, keepdim=True)
    tiny = torch.finfo(vectors.dtype).tiny
    shrunk = vectors / torch.where(largest > tiny, largest, 1.0)
    return shrunk / torch.linalg.vector_norm(shrunk, dim=-1, keepdim=True).clamp_min(1e-6)


def _to(features: Features, device: torch.device) -> Features:
    if isinstance(features, LinearFeatures):
        return features
    return RandomFeatures(features.weight.to(device), features.phase.to(device))


def _check_regularizer(name: str) -> None:
    if name not in ("biased", "debiased"):
        raise ConfigError(f"Unknown regularizer {name!r}; expected 'biased' or 'debiased'.")


def _check_views(views: Sequence[Tensor]) -> None:
    shapes = [tuple(view.shape) for view in views]
    if len(shapes) < 2 or len(set(shapes)) > 1 or len(shapes[0]) != 2 or 0 in shapes[0]:
        raise InputError(
            f"Got {len(shapes)} views of shapes {shapes}; expected at least two, all of one shape (B, d) with B, d ≥ 1."
        )
    if not all(view.is_floating_point() for view in views):
        raise InputError(f"Got views of {', '.join(str(view.dtype) for view in views)}; expected floating ones.")
