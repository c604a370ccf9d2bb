"""Steps of pretraining, each kind without end: the input alone, the bare networks, the whole engine, lightly's BYOL.

The bare step is forward and backward of two views and forward of the target network on tensors that are ready, with the
recipe's network, precision and memory layout, without optimizer and averages. The peer is the BYOL example of lightly's
documentation (its transforms, heads, loss and momentum update) with the same network, heads, batch, picture size,
precision, layout and workers; its loader draws pictures without an end, so that none of its time goes into starting
workers for another epoch.
"""

import copy
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, RandomSampler
from torchvision.datasets import ImageFolder

from sslhsic_transfer._precision import resolve_precision
from sslhsic_transfer.data.sources import find_data
from sslhsic_transfer.hub.encoder import Encoder
from sslhsic_transfer.pretrain import pretrain
from sslhsic_transfer.pretrain.graphs import CudaRecorder, RecordedStep
from sslhsic_transfer.pretrain.loading.damage import DamageRecord
from sslhsic_transfer.pretrain.loading.step_loader import StepLoader
from sslhsic_transfer.pretrain.networks import Learner
from sslhsic_transfer.pretrain.objectives import OBJECTIVES
from sslhsic_transfer.pretrain.recipe import Recipe
from sslhsic_transfer.training.run_folder import RunFolder


def device() -> torch.device:
    """Return the device of the steps: the accelerator where there is one."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def autocast(recipe: Recipe) -> torch.autocast:
    """Return the autocast context of the recipe's precision."""
    precision = resolve_precision(recipe.precision, device())
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    return torch.autocast(device().type, dtype=dtype, enabled=precision != "fp32")


def layout(recipe: Recipe) -> torch.memory_format:
    """Return the recipe's memory layout."""
    return torch.channels_last if recipe.channels_last else torch.contiguous_format


def input_alone(recipe: Recipe, data: Path, steps: int) -> Iterator[object]:
    """Read batches of two cut views and throw them away."""
    pictures = find_data(data).train
    with tempfile.TemporaryDirectory() as folder:
        damage = DamageRecord(Path(folder) / "damaged.jsonl", len(pictures), 1.0)
        yield from StepLoader(pictures, recipe, start=0, total_steps=steps, damage=damage)


def build(recipe: Recipe) -> Learner:
    """Build the recipe's networks, compiled where it says so."""
    torch.manual_seed(0)
    learner = Learner(
        Encoder(recipe.encoder, recipe.encoder_preprocessing),
        hidden_dim=recipe.head.hidden_dim,
        embedding_dim=recipe.head.embedding_dim,
        uses_target=OBJECTIVES[recipe.objective].uses_target,
    )
    learner = learner.to(device(), memory_format=layout(recipe)).train()
    if recipe.compile:
        learner.compile_parts()
    return learner


def bare_step(recipe: Recipe) -> Iterator[None]:
    """Run forward, loss and backward on the same random views again and again."""
    learner, criterion = build(recipe), OBJECTIVES[recipe.objective].build(recipe).to(device())
    views = _random_views(recipe)
    while True:
        with autocast(recipe):
            embeddings = learner(*views)
        criterion(embeddings)[0].backward()
        learner.zero_grad()
        yield


def recorded_step(recipe: Recipe) -> Iterator[None]:
    """Replay the bare step as one CUDA graph, so that the host does not slow it; random features stay the same."""
    learner, criterion = build(recipe), OBJECTIVES[recipe.objective].build(recipe).to(device())
    views = _random_views(recipe)
    with torch.no_grad():
        draws = criterion.draw(learner(*views))

    def step(*views: torch.Tensor) -> torch.Tensor:
        with autocast(recipe):
            embeddings = learner(*views)
        loss: torch.Tensor = criterion(embeddings, draws)[0]
        loss.backward()
        return loss.detach()

    recorded = RecordedStep(step, [learner, criterion], CudaRecorder)
    while True:
        recorded(*views)
        yield


def _random_views(recipe: Recipe) -> list[torch.Tensor]:
    shape = (recipe.batch_size, 3, recipe.augmentation.size, recipe.augmentation.size)
    return [torch.randn(shape, device=device()).to(memory_format=layout(recipe)) for _ in range(2)]


def whole_engine(recipe: Recipe, data: Path, *, every: int, count: int) -> list[dict[str, float]]:
    """Make ``count`` steps or a little more, with input, optimizer and averages, without checkpoints and evaluations.

    Returns:
        A record of the run's own log for each ``every`` steps.
    """
    epochs = -(-count * recipe.batch_size // len(find_data(data).train))
    monitor = {"log_every": every, "evaluate_every": 0, "collapse_patience": 0}
    changes = {
        "epochs": epochs,
        "monitor": recipe.monitor.model_copy(update=monitor),
        "optimizer": recipe.optimizer.model_copy(update={"warmup_epochs": 0}),
        "checkpoint_every": epochs,
        "trackers": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        pretrain(recipe.model_copy(update=changes), data, folder, progress=False)
        records = RunFolder(folder).read_metrics()
    return [record for record in records if "images_per_second" in record and record["step"] % every == 0]


class LightlyBYOL(nn.Module):
    """The model of lightly's example."""

    def __init__(self, recipe: Recipe) -> None:
        from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead
        from lightly.models.utils import deactivate_requires_grad

        super().__init__()
        self.backbone = Encoder(recipe.encoder, recipe.encoder_preprocessing)
        head = recipe.head
        self.projection_head = BYOLProjectionHead(self.backbone.feature_dim, head.hidden_dim, head.embedding_dim)
        self.prediction_head = BYOLPredictionHead(head.embedding_dim, head.hidden_dim, head.embedding_dim)
        self.backbone_momentum = copy.deepcopy(self.backbone)
        self.projection_head_momentum = copy.deepcopy(self.projection_head)
        deactivate_requires_grad(self.backbone_momentum)
        deactivate_requires_grad(self.projection_head_momentum)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the prediction of the online network and projection of the momentum network, for one view."""
        online = self.prediction_head(self.projection_head(self.backbone(x)))
        return online, self.projection_head_momentum(self.backbone_momentum(x)).detach()


def lightly_byol(recipe: Recipe, data: Path, steps: int) -> Iterator[None]:
    """Run the steps of lightly's example."""
    from lightly.loss import NegativeCosineSimilarity
    from lightly.models.utils import update_momentum
    from lightly.transforms.byol_transform import BYOLTransform, BYOLView1Transform, BYOLView2Transform

    size, low = recipe.augmentation.size, recipe.augmentation.crop_area[0]
    transform = BYOLTransform(
        view_1_transform=BYOLView1Transform(input_size=size, min_scale=low),
        view_2_transform=BYOLView2Transform(input_size=size, min_scale=low),
    )
    pictures = ImageFolder(str(data / "train" if (data / "train").is_dir() else data), transform=transform)
    loader = DataLoader(
        pictures,
        batch_size=recipe.batch_size,
        sampler=RandomSampler(pictures, replacement=True, num_samples=steps * recipe.batch_size),
        num_workers=recipe.workers,
        pin_memory=torch.cuda.is_available(),
    )
    torch.manual_seed(0)
    model = LightlyBYOL(recipe).to(device(), memory_format=layout(recipe)).train()
    optimizer, criterion = torch.optim.SGD(model.parameters(), lr=0.06), NegativeCosineSimilarity()
    for views, _ in loader:
        update_momentum(model.backbone, model.backbone_momentum, m=0.99)
        update_momentum(model.projection_head, model.projection_head_momentum, m=0.99)
        first, second = (view.to(device(), memory_format=layout(recipe), non_blocking=True) for view in views)
        with autocast(recipe):
            p0, z0 = model(first)
            p1, z1 = model(second)
            loss = 0.5 * (criterion(p0, z1) + criterion(p1, z0))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        yield
