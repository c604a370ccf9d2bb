"""The networks of pretraining: encoder, projector, predictor, and the target network that follows them."""

import copy

import torch
from torch import Tensor, nn

from sslhsic_transfer.hub.encoder import Encoder

# Name of the encoder to pretrain among a Learner's modules.
ENCODER = "online.encoder"


class MLP(nn.Sequential):
    """The projector and the predictor of BYOL and SSL-HSIC: Linear – BN – ReLU – Linear without bias.

    Args:
        inputs: width of the input.
        hidden: width of the hidden layer.
        outputs: width of the output.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__(
            nn.Linear(inputs, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, outputs, bias=False),
        )


class Branch(nn.Module):
    """Encoder and projector: (B, 3, H, W) -> (B, d)."""

    def __init__(self, encoder: Encoder, projector: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = projector

    def forward(self, images: Tensor) -> Tensor:
        """Project the embeddings of a batch."""
        projected: Tensor = self.projector(self.encoder(images))
        return projected


class Learner(nn.Module):
    """All networks of an objective; one forward pass maps two views to the embeddings that the loss compares.

    There is a single forward method because wrappers such as DistributedDataParallel see only that one.

    Args:
        encoder: the network to pretrain.
        hidden_dim: hidden width of projector and predictor.
        embedding_dim: d, their output width.
        uses_target: with a target network the embeddings are q(v1), q(v2), t(v2), t(v1), the last two without gradient;
            otherwise the online projections of v1 and v2.
    """

    def __init__(self, encoder: Encoder, *, hidden_dim: int, embedding_dim: int, uses_target: bool) -> None:
        super().__init__()
        self.online = Branch(encoder, MLP(encoder.feature_dim, hidden_dim, embedding_dim))
        self.predictor = MLP(embedding_dim, hidden_dim, embedding_dim) if uses_target else None
        self.target = copy.deepcopy(self.online).requires_grad_(False) if uses_target else None

    def forward(self, view1: Tensor, view2: Tensor) -> list[Tensor]:
        """Embed a batch.

        Args:
            view1: (B, 3, H, W), first views.
            view2: (B, 3, H, W), second views of the same pictures.

        Returns:
            M tensors (B, d). BatchNorm treats each view separately, and the target, like the online network, normalizes
            by the batch.
        """
        embeddings = [self.online(view) for view in (view1, view2)]
        if self.predictor is None or self.target is None:
            return embeddings
        with torch.no_grad():
            targets = [self.target(view) for view in (view2, view1)]
        return [*(self.predictor(embedding) for embedding in embeddings), *targets]

    def compile_parts(self) -> None:
        """Compile the branches with torch.compile, once for both views; parameters keep their names.

        Kernels are compiled for each size of view, which is faster than kernels for any size. The predictor, two small
        products, is not compiled.
        """
        for branch in (self.online, self.target):
            if branch is not None:
                branch.compile(dynamic=False)

    @torch.no_grad()
    def update_target(self, decay: float) -> None:
        """Move the target's weights toward the online ones, t ← τ·t + (1−τ)·o; its BatchNorm statistics stay."""
        if self.target is not None:
            torch._foreach_lerp_(list(self.target.parameters()), list(self.online.parameters()), 1 - decay)

    def trained_parameters(self) -> dict[str, nn.Parameter]:
        """Return the parameters that the optimizer trains, by name: all but the target's."""
        return {
            name: parameter for name, parameter in self.named_parameters() if name.startswith(("online.", "predictor."))
        }
