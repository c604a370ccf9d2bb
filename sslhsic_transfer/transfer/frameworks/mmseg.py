"""Segmentation with mmsegmentation: its own Runner trains the network, and its own segmentor is loaded again."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from sslhsic_transfer._devices import default_device
from sslhsic_transfer._files import copy_file
from sslhsic_transfer._precision import resolve_precision
from sslhsic_transfer.data.labelled.segmentation import SegmentationData
from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.hub.encoder import Encoder
from sslhsic_transfer.training.run_folder import RunFolder
from sslhsic_transfer.transfer.config import TransferConfig
from sslhsic_transfer.transfer.frameworks.foreign_log import take_over_log
from sslhsic_transfer.transfer.frameworks.framework import Exportable, Framework
from sslhsic_transfer.transfer.tasks.augmentation import at_size_of, bytes_at
from sslhsic_transfer.transfer.tasks.segmentation import SegmentationFunction, SegmentationTask

if TYPE_CHECKING:
    from sslhsic_transfer.adapters.mmseg.runner import Network

_WORK = "mmseg"  # mmengine's checkpoints and logs in the run's folder
_LOGGED = {"step": "step", "loss": "loss", "lr": "learning_rate"}


class MMSegmentation(Framework[SegmentationTask, SegmentationData, SegmentationFunction]):
    """Segmentation: mmsegmentation's Runner trains the network, and its segmentor is loaded again."""

    def train(
        self, task: SegmentationTask, encoder: Encoder, data: SegmentationData, folder: RunFolder, *, progress: bool
    ) -> None:
        """Fine-tune or resume, and copy the segmentor to the run's model folder. Mmengine shows no progress bar."""
        from sslhsic_transfer.adapters.mmseg import fine_tune
        from sslhsic_transfer.adapters.mmseg.inference import SEGMENTOR_CONFIG_NAME, SEGMENTOR_WEIGHTS_NAME
        from sslhsic_transfer.adapters.mmseg.runner import NETWORKS

        settings = task.settings
        if settings.network not in NETWORKS:
            raise ConfigError(f"mmseg has no {settings.network} here; expected network={', '.join(NETWORKS)}.")
        if settings.momentum != 0.9 or settings.nesterov:
            raise ConfigError(
                f"With mmseg momentum is 0.9, not Nesterov's; got momentum={settings.momentum} "
                f"nesterov={settings.nesterov}."
            )
        output = fine_tune(
            data,
            None,
            folder.root / _WORK,
            model=encoder,
            network=cast("Network", settings.network),
            crop=settings.crop,
            scale=settings.scale,
            resize=settings.resize,
            color_jitter=settings.color_jitter,
            iterations=settings.iterations,
            batch_size=settings.batch_size,
            optimizer=settings.optimizer,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            schedule=settings.schedule,
            warmup=settings.warmup,
            clip_gradient=settings.clip_gradient,
            output_stride=settings.output_stride,
            freeze_at=settings.freeze_at,
            norm_eval=settings.norm_eval,
            seed=settings.seed,
            workers=settings.workers,
            precision=resolve_precision(settings.precision, default_device()),
            checkpoint_every=settings.checkpoint_every,
            log_every=settings.log_every,
            resume=True,
        )
        take_over_log(folder, sorted(output.glob("*/vis_data/scalars.json")), _LOGGED, first_step=1)
        for name in (SEGMENTOR_CONFIG_NAME, SEGMENTOR_WEIGHTS_NAME):
            copy_file(output / name, folder.model / name)

    def load(
        self, task: SegmentationTask, config: TransferConfig, folder: Path, device: torch.device
    ) -> tuple[nn.Module, SegmentationFunction]:
        """Load mmseg's segmentor, in eval mode, and the function from a picture to its classes."""
        from sslhsic_transfer.adapters.mmseg import load_segmentor

        segmentor = load_segmentor(folder, device)
        resize = task.settings.resize

        @torch.inference_mode()
        def predict(picture: Image.Image) -> NDArray[np.uint8]:
            bgr = bytes_at(picture, resize).flip(0)
            images = segmentor.data_preprocessor({"inputs": [bgr], "data_samples": None}, False)["inputs"]
            size = tuple(images.shape[-2:])
            scores = segmentor.encode_decode(images, [{"img_shape": size, "ori_shape": size}])
            return np.asarray(at_size_of(picture, scores).argmax(dim=1)[0].cpu(), dtype=np.uint8)

        return segmentor, predict

    def exportable(self, task: SegmentationTask, config: TransferConfig, folder: Path) -> Exportable:
        """Load the segmentor; pictures are resized as the settings say."""
        network, _ = self.load(task, config, folder, torch.device("cpu"))
        return Exportable(network, resize=task.input_side)
