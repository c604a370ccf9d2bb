"""Detectron2's trainer with exact resuming, and with evaluation of the data sets in the adapter's configurations."""

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


class SSLHSICTrainer(DefaultTrainer):
    """A `DefaultTrainer` whose resumed runs give the same result as uninterrupted ones.

    Its checkpoints hold the optimizer's state, which version 0.6 forgets. Batches and the random numbers of a step
    depend only on the iteration. This needs SEED ≥ 0; without a seed, batches are Detectron2's own. Pictures are always
    read by `PictureMapper`; if one cannot be read, the steps before it are saved.

    Args:
        cfg: settings of the run.
        resume: whether to continue from the last checkpoint of OUTPUT_DIR, if there is one.
    """

    iter: int

    def __init__(self, cfg: CfgNode, *, resume: bool = False) -> None:
        self._start = _iterations_done(Path(cfg.OUTPUT_DIR)) if resume else 0
        super().__init__(cfg)
        self.resume_or_load(resume=resume)

    def build_train_loader(self, cfg: CfgNode) -> Any:  # type: ignore[override]
        """Build a loader of batches from the iteration at which the run starts or resumes."""
        batches = build_train_loader(cfg, self._start)
        trains = not hasattr(self, "_trainer")  # later calls only measure statistics
        return saved_first(batches, self._save_reached) if trains else batches

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Any:
        """Build a loader of single pictures."""
        return build_test_loader(cfg, dataset_name)

    @classmethod
    def build_model(cls, cfg: CfgNode) -> torch.nn.Module:
        """Build the network; with SOLVER.BFLOAT16, forward passes in training use bfloat16, weights stay float32."""
        model: torch.nn.Module = super().build_model(cfg)
        if cfg.SOLVER.get("BFLOAT16", False):
            _train_in_bfloat16(model)
        return model

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: torch.nn.Module) -> torch.optim.Optimizer:
        """Build Detectron2's SGD, or AdamW over the same groups, depending on SOLVER.OPTIMIZER."""
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
        """Train to the end; errors of this library are raised without Detectron2 logging a traceback."""
        _LOG.addFilter(_unexpected)
        try:
            return super().train()
        finally:
            _LOG.removeFilter(_unexpected)

    def run_step(self) -> None:
        """Make one step, which draws its anchors and regions from the iteration's own random numbers.

        Raises:
            TrainingError: the loss is not finite, or the weights to be saved are not.
        """
        if self.cfg.SEED >= 0:
            _ = self._trainer._data_loader_iter  # later versions make it at its first use, which draws a random number
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
        """Save the state before the current step; return the file, or None if there is nothing to save."""
        if self.iter <= self.start_iter or not comm.is_main_process():
            return None
        if divergence(None, self.model.parameters(), self.iter, self._usual_causes()):
            return None
        begun = self.iter
        self.iter = begun - 1  # checkpoints hold the last finished iteration
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
        """Return the content of a checkpoint besides the network."""
        state: dict[str, Any] = TrainerBase.state_dict(self)
        return state | {"_trainer": self._trainer.state_dict()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        TrainerBase.load_state_dict(self, state_dict)
        self._trainer.load_state_dict(state_dict["_trainer"])

    def build_writers(self) -> list[EventWriter]:
        """Build writers to the terminal and to metrics.json; TensorBoard would need another package."""
        return [CommonMetricPrinter(self.max_iter), JSONWriter(str(Path(self.cfg.OUTPUT_DIR) / "metrics.json"))]

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        """Build the evaluator: VOC's own metric for Detectron2's VOC data sets, COCO's for all others."""
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

    model.forward = training_forward  # a wrapping module would rename the tensors


def _iterations_done(output: Path) -> int:
    """Return the number of iterations before a folder's last checkpoint.

    Raises:
        CheckpointError: the checkpoint is named but missing.
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
