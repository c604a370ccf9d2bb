"""Detection with Detectron2: its own trainer trains the detector, and its own detector is loaded again."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from sslhsic_transfer._devices import default_device
from sslhsic_transfer._files import atomic_path, copy_file
from sslhsic_transfer._precision import resolve_precision
from sslhsic_transfer.data.labelled.detection import DetectionData
from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.hub.encoder import Encoder
from sslhsic_transfer.training.run_folder import RunFolder
from sslhsic_transfer.transfer.config import TransferConfig
from sslhsic_transfer.transfer.frameworks.foreign_log import take_over_log
from sslhsic_transfer.transfer.frameworks.framework import Exportable, Framework
from sslhsic_transfer.transfer.tasks.detection import DetectionFunction, DetectionSettings, DetectionTask

_WORK = "detectron2"  # Detectron2's checkpoints and logs in the run's folder
_LOGGED = {"iteration": "step", "total_loss": "loss", "lr": "learning_rate"}
_NETWORKS: dict[str, Any] = {
    "faster_rcnn": "faster_rcnn_fpn",
    "faster_rcnn_c4": "faster_rcnn_c4",
    "retinanet": "retinanet",
}


class Detectron2(Framework[DetectionTask, DetectionData, DetectionFunction]):
    """Detection: Detectron2's trainer trains the detector, and its detector is loaded again."""

    def train(
        self, task: DetectionTask, encoder: Encoder, data: DetectionData, folder: RunFolder, *, progress: bool
    ) -> None:
        """Fine-tune or resume, and copy the detector to the run's model folder. Detectron2 shows no progress bar."""
        from sslhsic_transfer.adapters.detectron2 import fine_tune
        from sslhsic_transfer.adapters.detectron2.detector import DETECTOR_CONFIG_NAME, DETECTOR_WEIGHTS_NAME
        from sslhsic_transfer.data.labelled.layouts import CLASSES_NAME

        settings = task.settings
        if settings.schedule == "poly":
            raise ConfigError("With Detectron2 the schedule is cosine or steps; got schedule=poly.")
        output = fine_tune(
            data,
            None,
            folder.root / _WORK,
            model=encoder,
            network=_NETWORKS[settings.network],
            sides=settings.sides,
            longest_side=settings.longest_side,
            iterations=settings.iterations,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            freeze_at=settings.freeze_at,
            seed=settings.seed,
            workers=settings.workers,
            precision=resolve_precision(settings.precision, default_device()),
            resume=True,
            settings=_own_settings(settings),
        )
        take_over_log(folder, [output / "metrics.json"], _LOGGED, first_step=0)
        for name in (DETECTOR_CONFIG_NAME, CLASSES_NAME):
            copy_file(output / name, folder.model / name)
        weights = torch.load(output / DETECTOR_WEIGHTS_NAME, map_location="cpu")["model"]
        with atomic_path(folder.model / DETECTOR_WEIGHTS_NAME) as temporary:
            torch.save({"model": weights}, temporary)

    def load(
        self, task: DetectionTask, config: TransferConfig, folder: Path, device: torch.device
    ) -> tuple[nn.Module, DetectionFunction]:
        """Load Detectron2's network, in eval mode, and the function from a picture to its boxes."""
        from sslhsic_transfer.adapters.detectron2 import load_detector

        detector = load_detector(folder, str(device))
        return detector.model, detector

    def exportable(self, task: DetectionTask, config: TransferConfig, folder: Path) -> Exportable:
        """Load the network as a function of tensors, with the sizes to which its own loader resizes pictures."""
        from sslhsic_transfer.adapters.detectron2 import load_detector
        from sslhsic_transfer.adapters.detectron2.tensors import TensorDetector

        detector = load_detector(folder, "cpu")
        sizes = detector.cfg.INPUT
        return Exportable(TensorDetector(detector.model), resize=sizes.MIN_SIZE_TEST, longest=sizes.MAX_SIZE_TEST)


def _own_settings(settings: DetectionSettings) -> dict[str, Any]:
    """Return the settings that `fine_tune` has no argument for, under Detectron2's names."""
    steps = tuple(sorted({round(share * settings.iterations) for share in (0.7, 0.9)}))
    return {
        "SOLVER.OPTIMIZER": settings.optimizer.upper(),
        "SOLVER.MOMENTUM": settings.momentum,
        "SOLVER.NESTEROV": settings.nesterov,
        "SOLVER.WEIGHT_DECAY": settings.weight_decay,
        "SOLVER.WEIGHT_DECAY_BIAS": 0.0,
        "SOLVER.WEIGHT_DECAY_NORM": 0.0,
        "SOLVER.LR_SCHEDULER_NAME": "WarmupCosineLR" if settings.schedule == "cosine" else "WarmupMultiStepLR",
        "SOLVER.STEPS": steps,
        "SOLVER.WARMUP_ITERS": settings.warmup,
        "SOLVER.WARMUP_FACTOR": 1 / (settings.warmup + 1),
        "SOLVER.CHECKPOINT_PERIOD": settings.checkpoint_every,
        "SOLVER.CLIP_GRADIENTS.ENABLED": settings.clip_gradient > 0,
        "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": "norm",
        "SOLVER.CLIP_GRADIENTS.CLIP_VALUE": settings.clip_gradient or 1.0,
        "MODEL.SSLHSIC.NORM_EVAL": settings.norm_eval,
        "MODEL.FPN.NORM": "" if settings.norm_eval else "BN",
        "MODEL.RPN.POST_NMS_TOPK_TEST": settings.proposals,
        "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": settings.sampled_regions,
        "INPUT.MIN_SIZE_TEST": settings.test_side or max(settings.sides),
    }
