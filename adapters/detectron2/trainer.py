"""Detectron2's trainer, made to resume exactly, and to evaluate what the adapter's configurations name."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import sslhsic_transfer.adapters.detectron2.compat  # noqa: F401 - before Detectron2

# isort: split
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.engine import DefaultTrainer
from detectron2.engine.train_loop import TrainerBase
from detectron2.evaluation import COCOEvaluator, DatasetEvaluator, PascalVOCDetectionEvaluator
from detectron2.solver import build_optimizer
from detectron2.solver.build import get_default_optimizer_params, maybe_add_gradient_clipping
from detectron2.utils import comm
from detectron2.utils.events import CommonMetricPrinter, EventWriter, JSONWriter

from sslhsic_transfer._seeds import mix_seed
from sslhsic_transfer.adapters.detectron2.loading import build_test_loader, build_train_loader
from sslhsic_transfer.data.readers import saved_first
from sslhsic_transfer.errors import CheckpointError, SSLHSICError, TrainingError
from sslhsic_transfer.training.divergence import divergence

_LOG = logging.getLogger("detectron2.engine.train_loop")


class Trainer(DefaultTrainer):
    """A `DefaultTrainer` whose resumed run is the uninterrupted one.

    Its checkpoints hold the optimiser's state (0.6 forgets it), its batches follow from the iteration, and so do the
    random numbers of a step. That takes SEED ≥ 0; without a seed, batches are Detectron2's own. Pictures are read by
    `PictureMapper` in any case; where one cannot be, the steps before are saved.

    Args:
        cfg: of the run.
        resume: whether to go on from the last checkpoint of OUTPUT_DIR, if there is one.
    """

    iter: int

    def __init__(self, cfg: CfgNode, *, resume: bool = False) -> None:
        self._start = _iterations_done(Path(cfg.OUTPUT_DIR)) if resume else 0
        super().__init__(cfg)
        self.resume_or_load(resume=resume)

    def build_train_loader(self, cfg: CfgNode) -> Any:  # type: ignore[override]
        """Batches from the iteration on where the run goes on."""
        batches = build_train_loader(cfg, self._start)
        trains = not hasattr(self, "_trainer")  # those that only measure statistics are asked for later
        return saved_first(batches, self._save_reached) if trains else batches

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Any:
        """Pictures one by one."""
        return build_test_loader(cfg, dataset_name)

    @classmethod
    def build_model(cls, cfg: CfgNode) -> torch.nn.Module:
        """The network; with SOLVER.BFLOAT16 its forward passes in training run in bfloat16, weights in float32."""
        model: torch.nn.Module = super().build_model(cfg)
        if cfg.SOLVER.get("BFLOAT16", False):
            _train_in_bfloat16(model)
        return model

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: torch.nn.Module) -> torch.optim.Optimizer:
        """SGD as Detectron2 builds it, or AdamW over the same groups, as SOLVER.OPTIMIZER says."""
        if cfg.SOLVER.get("OPTIMIZER", "SGD") == "SGD":
            return build_optimizer(cfg, model)
        groups = get_default_optimizer_params(
            model,
            base_lr=cfg.SOLVER.BASE_LR,
            weight_decay_norm=cfg.SOLVER.WEIGHT_DECAY_NORM,
            bias_lr_factor=cfg.SOLVER.BIAS_LR_FACTOR,
            weight_decay_bias=cfg.SOLVER.WEIGHT_DECAY_BIAS,
        )
        adamw = maybe_add_gradient_clipping(cfg, torch.optim.AdamW)
        optimizer: torch.optim.Optimizer = adamw(groups, lr=cfg.SOLVER.BASE_LR, weight_decay=cfg.SOLVER.WEIGHT_DECAY)
        return optimizer

    def train(self) -> Any:
        """Train to the end; an error of this library is raised without Detectron2's traceback before it."""
        _LOG.addFilter(_unexpected)
        try:
            return super().train()
        finally:
            _LOG.removeFilter(_unexpected)

    def run_step(self) -> None:
        """One step, which draws its anchors and regions from the iteration's own random numbers.

        Raises:
            TrainingError: the loss is not finite, or the weights that are about to be saved are not.
        """
        if self.cfg.SEED >= 0:
            _ = self._trainer._data_loader_iter  # making it, as current code does at its first use, draws a number
            torch.manual_seed(mix_seed(self.cfg.SEED, self.iter * comm.get_world_size() + comm.get_rank()))
        try:
            super().run_step()
        except FloatingPointError as error:
            raise TrainingError(f"{error}\nUsual causes: {self._usual_causes()}.") from error
        done = self.iter + 1
        saved = done == self.max_iter or done % self.cfg.SOLVER.CHECKPOINT_PERIOD == 0
        if saved and (message := divergence(None, self.model.parameters(), done, self._usual_causes())):
            raise TrainingError(message)

    def _save_reached(self) -> Path | None:
        """Save the state before the step that has begun; where it is, or None if there is nothing to save."""
        if self.iter <= self.start_iter or not comm.is_main_process():
            return None
        if divergence(None, self.model.parameters(), self.iter, self._usual_causes()):
            return None
        begun = self.iter
        self.iter = begun - 1  # checkpoints tell the last iteration that is done
        try:
            self.checkpointer.save(f"model_{self.iter:07d}", iteration=self.iter)
        finally:
            self.iter = begun
        return Path(self.checkpointer.get_checkpoint_file())

    def _usual_causes(self) -> str:
        solver = self.cfg.SOLVER
        return (
            f"SOLVER.BASE_LR ({solver.BASE_LR}) too high, SOLVER.WARMUP_ITERS ({solver.WARMUP_ITERS}) too short, "
            f"SOLVER.CLIP_GRADIENTS.ENABLED ({solver.CLIP_GRADIENTS.ENABLED})"
        )

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint holds beside the network."""
        state: dict[str, Any] = TrainerBase.state_dict(self)
        return state | {"_trainer": self._trainer.state_dict()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take it up again."""
        TrainerBase.load_state_dict(self, state_dict)
        self._trainer.load_state_dict(state_dict["_trainer"])

    def build_writers(self) -> list[EventWriter]:
        """Figures on the terminal and in metrics.json; TensorBoard is another package."""
        return [CommonMetricPrinter(self.max_iter), JSONWriter(str(Path(self.cfg.OUTPUT_DIR) / "metrics.json"))]

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        """VOC's own metric for VOC as Detectron2 knows it, COCO's for all else."""
        if getattr(MetadataCatalog.get(dataset_name), "evaluator_type", "") == "pascal_voc":
            return PascalVOCDetectionEvaluator(dataset_name)
        output = str(Path(cfg.OUTPUT_DIR) / "inference")
        return COCOEvaluator(dataset_name, output_dir=output, use_fast_impl=False)  # the fast one is compiled


def _unexpected(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], SSLHSICError))


def _train_in_bfloat16(model: torch.nn.Module) -> None:
    forward, device = model.forward, next(model.parameters()).device.type

    def training_forward(*arguments: Any, **options: Any) -> Any:
        if not model.training:
            return forward(*arguments, **options)
        with torch.autocast(device, dtype=torch.bfloat16):
            return forward(*arguments, **options)

    model.forward = training_forward  # not a module around it, which would rename its tensors


def _iterations_done(output: Path) -> int:
    """How many iterations the last checkpoint of a folder has seen.

    Raises:
        CheckpointError: it is named but not there.
    """
    pointer = output / "last_checkpoint"
    if not pointer.exists():
        return 0
    checkpoint = output / pointer.read_text(encoding="utf-8").strip()
    if not checkpoint.is_file():
        raise CheckpointError(
            f"{pointer} names {checkpoint.name}, which is not there; remove the one or bring the other."
        )
    return int(torch.load(checkpoint, map_location="cpu")["iteration"]) + 1
