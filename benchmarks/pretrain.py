"""Images a second of pretraining: the input alone, the bare network step, the whole engine, and lightly's BYOL.

python benchmarks/pretrain.py DATA [--recipe NAME] [--set key=value …] [--steps N] [--rounds N] [--output DIR]

The four take turns, `--rounds` times; ratios are within a round, and their median counts. The bare step is forward and
backward of two views and forward of the target network on tensors that are ready, with the recipe's network, precision
and memory layout, without optimiser and averages. The peer is the BYOL example of lightly's documentation (its
transforms, heads, loss and momentum update) with the same network, heads, batch, picture size, precision, layout and
workers. Writes pretrain.json.
"""

import argparse
import copy
import json
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from sslhsic_transfer.models.encoder import Encoder
from sslhsic_transfer.pretrain import load_recipe, pretrain
from sslhsic_transfer.pretrain.loading.damage import DamageRecord
from sslhsic_transfer.pretrain.loading.loader import StepLoader
from sslhsic_transfer.pretrain.networks import Learner
from sslhsic_transfer.pretrain.objectives import OBJECTIVES
from sslhsic_transfer.pretrain.recipe import Recipe
from sslhsic_transfer.pretrain.run_folder import RunFolder
from sslhsic_transfer.pretrain.sources import find_data

_WARM_UP = 3


def autocast(recipe: Recipe) -> torch.autocast:
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[recipe.precision]
    return torch.autocast(device().type, dtype=dtype, enabled=recipe.precision != "fp32")


def device() -> torch.device:
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def speed(steps: Iterator[object], batch_size: int, count: int) -> float:
    """Images a second of ``count`` steps after a few that are not timed."""
    for _ in range(_WARM_UP):
        next(steps)
    start = time.perf_counter()
    for _ in range(count):
        next(steps)
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    return count * batch_size / (time.perf_counter() - start)


def input_alone(recipe: Recipe, data: Path, count: int) -> float:
    pictures = find_data(data).train
    with tempfile.TemporaryDirectory() as folder:
        damage = DamageRecord(Path(folder) / "damaged.jsonl", len(pictures), 1.0)
        loader = StepLoader(pictures, recipe, start=0, total_steps=_WARM_UP + count, damage=damage)
        return speed(iter(loader), recipe.batch_size, count)


def build(recipe: Recipe) -> Learner:
    torch.manual_seed(0)
    learner = Learner(
        Encoder(recipe.encoder, recipe.encoder_preprocessing),
        hidden_dim=recipe.head.hidden_dim,
        embedding_dim=recipe.head.embedding_dim,
        uses_target=OBJECTIVES[recipe.objective].uses_target,
    )
    return learner.to(device(), memory_format=layout(recipe)).train()


def layout(recipe: Recipe) -> torch.memory_format:
    return torch.channels_last if recipe.channels_last else torch.contiguous_format


def bare_step(recipe: Recipe, count: int) -> float:
    learner, criterion = build(recipe), OBJECTIVES[recipe.objective].build(recipe).to(device())
    size = recipe.augmentation.size
    views = [torch.randn(recipe.batch_size, 3, size, size).to(device(), memory_format=layout(recipe)) for _ in range(2)]

    def steps() -> Iterator[None]:
        while True:
            with autocast(recipe):
                embeddings = learner(*views)
            criterion(embeddings)[0].backward()
            learner.zero_grad()
            yield

    return speed(steps(), recipe.batch_size, count)


def whole_engine(recipe: Recipe, data: Path, count: int) -> float:
    """From the run's own log: steps with their input, optimiser and averages; without checkpoints and monitors."""
    every = max(1, count // 4)
    pictures = len(find_data(data).train)
    epochs = -(-(count + every) * recipe.batch_size // pictures)
    monitor = recipe.monitor.model_copy(update={"log_every": every, "evaluate_every": 0})
    optimizer = recipe.optimizer.model_copy(update={"warmup_epochs": 0})
    short = recipe.model_copy(
        update={
            "epochs": epochs,
            "monitor": monitor,
            "optimizer": optimizer,
            "checkpoint_every": epochs,
            "trackers": [],
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        pretrain(short, data, folder, progress=False)
        lines = RunFolder(folder).read_metrics()
    return statistics.median([line["images_per_second"] for line in lines if line["step"] > every][:-1])


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
        """Prediction of the online network and projection of the momentum network, for one view."""
        online = self.prediction_head(self.projection_head(self.backbone(x)))
        return online, self.projection_head_momentum(self.backbone_momentum(x)).detach()


def lightly_byol(recipe: Recipe, data: Path, count: int) -> float:
    from lightly.loss import NegativeCosineSimilarity
    from lightly.models.utils import update_momentum
    from lightly.transforms.byol_transform import BYOLTransform, BYOLView1Transform, BYOLView2Transform

    size, low = recipe.augmentation.size, recipe.augmentation.crop_area[0]
    transform = BYOLTransform(
        view_1_transform=BYOLView1Transform(input_size=size, min_scale=low),
        view_2_transform=BYOLView2Transform(input_size=size, min_scale=low),
    )
    root = data / "train" if (data / "train").is_dir() else data
    loader = DataLoader(
        ImageFolder(str(root), transform=transform),
        batch_size=recipe.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=recipe.workers,
        pin_memory=torch.cuda.is_available(),
    )
    torch.manual_seed(0)
    model = LightlyBYOL(recipe).to(device(), memory_format=layout(recipe)).train()
    optimizer, criterion = torch.optim.SGD(model.parameters(), lr=0.06), NegativeCosineSimilarity()

    def steps() -> Iterator[None]:
        while True:
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

    return speed(steps(), recipe.batch_size, count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--recipe", default="imagenette-r18")
    parser.add_argument("--set", nargs="*", default=[], help="settings of the recipe, key=value")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks"))
    options = parser.parse_args()
    warnings.filterwarnings("ignore", module="lightly")
    recipe, count = load_recipe(options.recipe, [*options.set, "augmentation.progressive=[]"]), options.steps
    contenders = {
        "input alone": lambda: input_alone(recipe, options.data, 5 * count),  # beyond what is read ahead
        "bare network step": lambda: bare_step(recipe, count),
        "whole engine": lambda: whole_engine(recipe, options.data, count),
        "lightly's BYOL": lambda: lightly_byol(recipe, options.data, count),
    }
    speeds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(options.rounds):
        for name, measure in contenders.items():
            speeds[name].append(measure())
            print(f"{name}: {speeds[name][-1]:.1f} images/s", file=sys.stderr, flush=True)
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    ratios = {
        f"whole engine / {peer}": [
            ours / theirs for ours, theirs in zip(speeds["whole engine"], speeds[peer], strict=True)
        ]
        for peer in ("bare network step", "lightly's BYOL")
    }
    options.output.mkdir(parents=True, exist_ok=True)
    facts = {"torch": torch.__version__, "threads": torch.get_num_threads(), "device": str(device()), "speeds": speeds}
    (options.output / "pretrain.json").write_text(json.dumps(facts | {"ratios": ratios}, indent=1))
    for name, value in medians.items():
        print(f"{name:20} {value:7.1f} images/s")
    for name, values in ratios.items():
        print(f"{name}: {statistics.median(values):.2f} (rounds: {', '.join(f'{value:.2f}' for value in values)})")


if __name__ == "__main__":
    main()
