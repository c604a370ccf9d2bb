"""The SSL-HSIC loss, −HSIC(Z, Y) + γ·√HSIC(Z, Z), as a module: it draws features and learns the kernel's scale.

Li, Pogodin, Sutherland and Gretton, "Self-Supervised Learning with Kernel Dependence Maximization", NeurIPS 2021
(arXiv 2106.08320), section 3. Z are ℓ2-normalized embeddings; Y is the identity of the image that a view comes from.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sslhsic_transfer._seeds import mix_seed
from sslhsic_transfer.errors import ConfigError, InputError
from sslhsic_transfer.hsic.cost import Workload, exact_operations, feature_operations
from sslhsic_transfer.hsic.distributed import count_over_processes, process_count, process_rank, sum_over_processes
from sslhsic_transfer.hsic.features import Features, draw_features, moved
from sslhsic_transfer.hsic.kernels import get_kernel
from sslhsic_transfer.hsic.scale import with_scale_gradient
from sslhsic_transfer.hsic.terms import Regularizer, check_regularizer, ssl_hsic_loss
from sslhsic_transfer.hsic.unit_vectors import unit_vectors

Estimator = Literal["auto", "exact", "features"]
_ESTIMATORS = ("auto", "exact", "features")

# The largest gradient noise that is reported; beyond it the gradient cannot be told from noise.
_MOST_NOISE = 100.0


class SSLHSICLoss(nn.Module):
    """−HSIC(Z, Y) + γ·√HSIC(Z, Z) of the views' embeddings.

    >>> criterion = SSLHSICLoss()
    >>> loss, scalars = criterion([q1, q2, t2.detach(), t1.detach()])  # each (B, d)

    Both terms are means over pairs of rows. The exact form computes all pairs, and its cost grows with the square of
    the batch size. Random features make the cost linear in the batch size but add noise to the gradient; they are drawn
    anew at every call, once for all views. The kernel scale is the module's only parameter. The loss gives it the
    gradient of its own objective (see `sslhsic_transfer.hsic.scale`). To learn the scale, pass
    ``criterion.parameters()`` to an optimizer (the paper: Adam, 3e-4); otherwise it stays fixed.

    In an initialized process group each rank passes its own rows. It gets the global batch's loss and, averaged over
    ranks as by DistributedDataParallel, the global batch's gradient. `torch.compile` leaves the loss uncompiled: matrix
    products are most of its time, and its random draws must not be frozen into a graph.

    Args:
        gamma: weight of the regularizer; 3 in the paper.
        kernel: ``"imq"`` (inverse multiquadric, the paper's), ``"gaussian"``, ``"laplace"`` or ``"linear"`` (the
            cosine; always exact and linear in the batch, without random features or scale).
        num_features: D, the number of random features in a draw; 512 in the paper.
        generator: source of random features. By default each call's draw depends on ``seed`` and on the number of draws
            so far, which is part of the state dict. If you pass a generator, seed it equally on every rank and save its
            state yourself.
        estimator: ``"exact"``, ``"features"`` or ``"auto"``, which takes the one with fewer operations as counted by
            `sslhsic_transfer.hsic.cost`: for n = B·M rows, all trained, about 4·n²·d against 6·n·D·d + 6·n·D². With d =
            256, features are chosen above about 2,300 rows for D = 512 and 26,000 for D = 2,048.
        draws: k, the number of pairs of draws whose estimates are averaged; one in the paper.
        low_noise: whether to reduce the noise for the same D, compared with the paper: orthogonal directions of evenly
            spread lengths, a cosine and a sine for each, and HSIC(Z, Y) as in `ssl_hsic_loss`.
        shared_draw: whether all ranks use the same draw. In the released code each rank draws its own and computes the
            whole batch, and the results are averaged: less noise by the square root of the number of ranks, for as many
            times the work.
        regularizer: ``"biased"`` (the paper's) or ``"debiased"``, see `ssl_hsic_loss`.
        initial_scale: kernel scale at the start.
        learn_scale: whether the scale gets a gradient.
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
        estimator: Estimator = "auto",
        draws: int = 1,
        low_noise: bool = True,
        shared_draw: bool = True,
        regularizer: Regularizer = "biased",
        initial_scale: float = 1.0,
        learn_scale: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not (0 <= gamma < math.inf and num_features >= 1 and draws >= 1 and 0 < initial_scale < math.inf):
            raise ConfigError(
                f"Got gamma={gamma}, num_features={num_features}, draws={draws}, initial_scale={initial_scale}; "
                "expected finite gamma ≥ 0, num_features ≥ 1, draws ≥ 1 and finite initial_scale > 0."
            )
        if estimator not in _ESTIMATORS:
            raise ConfigError(f"Unknown estimator {estimator!r}; expected one of: {', '.join(_ESTIMATORS)}.")
        check_regularizer(regularizer)
        self.gamma = gamma
        self.kernel = get_kernel(kernel)
        self.num_features = num_features
        self.estimator: Estimator = estimator
        self.draws = draws
        self.low_noise = low_noise
        self.shared_draw = shared_draw
        self.regularizer: Regularizer = regularizer
        self.generator = generator
        self.seed = seed
        self.draws_made = 0
        learnable = learn_scale and self.kernel.slope is not None
        self.kernel_scale = nn.Parameter(torch.tensor(float(initial_scale)), requires_grad=learnable)

    @torch.compiler.disable
    def forward(
        self, views: Sequence[Tensor], draws: Sequence[Features] | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss.

        Args:
            views: M ≥ 2 tensors of shape (B, d); row i of each is a view of image i. They are normalized here. Detach
                those that need no gradient (a target network's): the exact form then does not compute it. Computed in
                float32 at least, even under autocast.
            draws: the result of `draw` for these views, to draw ahead of time; None draws here.

        Returns:
            The loss and detached scalars: ``hsic_zy``, ``hsic_zz``, ``hsic_zy_noise`` (see `HSICTerms`),
            ``kernel_scale``, and ``exact``: 1 if the loss has no noise of random features, else 0.

        Raises:
            InputError: there are fewer than two views, they differ in shape or are not floating, or the batch has no
                rows.
        """
        draws = self.draw(views) if draws is None else draws
        with torch.autocast(views[0].device.type, enabled=False):
            embeddings, trained = _stacked(views)
            learn_scale = self.kernel_scale.requires_grad and torch.is_grad_enabled()
            loss, terms = ssl_hsic_loss(
                embeddings,
                draws,
                self.kernel_scale,
                kernel=self.kernel,
                gamma=self.gamma,
                regularizer=self.regularizer,
                low_noise=self.low_noise,
                shared_draw=self.shared_draw,
                trained=trained,
                learn_scale=learn_scale,
            )
            if learn_scale:
                loss = with_scale_gradient(loss, self.kernel_scale, terms.scale_gradient)
        return loss, {
            "hsic_zy": terms.zy.detach(),
            "hsic_zz": terms.zz.detach(),
            "hsic_zy_noise": terms.zy_noise,
            "kernel_scale": self.kernel_scale.detach().clone(),
            "exact": torch.full_like(terms.zy, float(not draws or self.kernel.profile is None), requires_grad=False),
        }

    def draw(self, views: Sequence[Tensor]) -> tuple[Features, ...]:
        """Draw the features for the next call: 2·k at scale 1, or none if the call is exact.

        Args:
            views: as for `forward`; their values are not used.

        Raises:
            InputError: as for `forward`.
        """
        _check_views(views)
        if self.is_exact(views):
            return ()
        generator = self.generator
        if generator is None:
            generator = self._generator(views[0].device, self.draws_made)
            self.draws_made += 1
        return self._draw(generator, views[0])

    def is_exact(self, views: Sequence[Tensor]) -> bool:
        """Tell whether all pairs are computed exactly for these views; a process group decides together."""
        if self.kernel.profile is None or self.estimator != "auto":
            return self.kernel.profile is not None and self.estimator == "exact"
        load = Workload(
            images=count_over_processes(len(views[0])),
            views=len(views),
            dim=views[0].shape[1],
            trained=sum(view.requires_grad for view in views) or len(views),
            processes=process_count(),
        )
        features = feature_operations(
            load,
            self.num_features,
            draws=self.draws,
            debiased=self.regularizer == "debiased",
            low_noise=self.low_noise,
            shared_draw=self.shared_draw,
        )
        return exact_operations(load) <= features

    def gradient_noise(self, views: Sequence[Tensor]) -> Tensor:
        """Estimate the gradient's standard deviation over draws, relative to the norm of its mean; 0 if the loss is
        exact.

        At 1 a step's gradient is half noise, half signal. Two extra draws are made, which do not affect later steps. In
        a process group every rank must take part.

        Args:
            views: as for `forward`; those that require a gradient are used, or all if none does.

        Returns:
            A scalar tensor, at most 100.
        """
        if self.kernel.profile is None or self.is_exact(views):
            return views[0].new_zeros((), dtype=torch.float32)
        trained = [view.requires_grad for view in views]
        leaves = [
            view.detach().requires_grad_(wanted or not any(trained))
            for view, wanted in zip(views, trained, strict=True)
        ]
        first, second = (self._gradient(leaves, which) for which in (1, 2))
        difference, product = first - second, (first * second).sum()
        noise, signal = sum_over_processes(torch.stack([difference.square().sum() / 2, product]))
        return (noise / signal.clamp_min(noise / _MOST_NOISE**2)).nan_to_num().sqrt()

    def _gradient(self, leaves: Sequence[Tensor], which: int) -> Tensor:
        draws = self._draw(self._generator(leaves[0].device, self.draws_made, which), leaves[0])
        with torch.enable_grad():
            loss, _ = self(leaves, draws)
            gradients = torch.autograd.grad(loss, [leaf for leaf in leaves if leaf.requires_grad])
        return torch.stack(gradients).float()

    def _generator(self, device: torch.device, *which: int) -> torch.Generator:
        own = () if self.shared_draw else (process_rank(),)
        return torch.Generator(device).manual_seed(mix_seed(self.seed, *which, *own))

    def _draw(self, generator: torch.Generator, view: Tensor) -> tuple[Features, ...]:
        options = dict.fromkeys(("orthogonal", "paired", "stratified"), self.low_noise)
        dim, device = view.shape[1], generator.device
        return tuple(
            moved(
                draw_features(self.kernel, dim, self.num_features, generator=generator, device=device, **options),
                view.device,
            )
            for _ in range(2 * self.draws)
        )

    def get_extra_state(self) -> Tensor:
        """Return the number of draws made, which together with the seed determines all further draws."""
        return torch.tensor(self.draws_made)

    def set_extra_state(self, state: Any) -> None:
        """Continue with the draw after the last one of a saved state."""
        self.draws_made = int(state)

    def extra_repr(self) -> str:
        """Return the settings, for ``print(criterion)``."""
        return (
            f"gamma={self.gamma}, kernel={self.kernel.name!r}, estimator={self.estimator!r}, "
            f"num_features={self.num_features}, draws={self.draws}, low_noise={self.low_noise}, "
            f"regularizer={self.regularizer!r}"
        )


def _stacked(views: Sequence[Tensor]) -> tuple[Tensor, list[int]]:
    """Return the views as (B, M, d) unit vectors in float32 at least, and which of them require a gradient."""
    _check_views(views)
    stacked = torch.stack([view if view.dtype == torch.float64 else view.float() for view in views], dim=1)
    return unit_vectors(stacked), [number for number, view in enumerate(views) if view.requires_grad]


def _check_views(views: Sequence[Tensor]) -> None:
    shapes = [tuple(view.shape) for view in views]
    if len(shapes) < 2 or len(set(shapes)) > 1 or len(shapes[0]) != 2 or 0 in shapes[0]:
        raise InputError(
            f"Got {len(shapes)} views of shapes {shapes}; expected at least two, all of one shape (B, d) with B, d ≥ 1."
        )
    if not all(view.is_floating_point() for view in views):
        raise InputError(f"Got views of {', '.join(str(view.dtype) for view in views)}; expected floating ones.")
