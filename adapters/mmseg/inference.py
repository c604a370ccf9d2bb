"""Loading, prediction and evaluation of fine-tuned segmentors, on whole pictures."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from numpy.typing import NDArray
from torch import Tensor, nn

from sslhsic_transfer._json import read_json
from sslhsic_transfer.adapters.mmseg.compat import read_checkpoint
from sslhsic_transfer.adapters.mmseg.transforms import with_our_readers
from sslhsic_transfer.data.images import Picture, to_uint8_tensor
from sslhsic_transfer.data.labelled.segmentation import SegmentationData
from sslhsic_transfer.errors import CheckpointError, DataError
from sslhsic_transfer.metrics.confusion import Confusion
from sslhsic_transfer.models.modes import evaluating

SEGMENTOR_CONFIG_NAME = "config.json"
SEGMENTOR_WEIGHTS_NAME = "model.pth"


def load_segmentor(output: str | Path, device: torch.device | str | None = None) -> Any:
    """Load a segmentor saved by `fine_tune`; its initial encoder is not needed.

    Args:
        output: the folder that `fine_tune` returned.
        device: its device; the CPU by default.

    Returns:
        Mmseg's ``EncoderDecoder`` in eval mode, with ``dataset_meta["classes"]`` and its config as ``cfg``, so that
        ``mmseg.apis.inference_model`` takes it, too.

    Raises:
        CheckpointError: there is no finished model, its config is damaged, or its weights do not fit its config.
    """
    output = Path(output)
    for name in (SEGMENTOR_CONFIG_NAME, SEGMENTOR_WEIGHTS_NAME):
        if not (output / name).is_file():
            raise CheckpointError(f"{output} has no {name}; expected the folder of a fine_tune(…) that has ended.")
    config = Config(read_config(output / SEGMENTOR_CONFIG_NAME))
    with DefaultScope.overwrite_default_scope("mmseg"):
        model = MODELS.build(config.model)
    checkpoint = read_checkpoint(str(output / SEGMENTOR_WEIGHTS_NAME))
    try:
        model.load_state_dict(checkpoint["state_dict"])
    except (KeyError, RuntimeError, TypeError) as error:
        raise CheckpointError(
            f"{output / SEGMENTOR_WEIGHTS_NAME} does not fit {SEGMENTOR_CONFIG_NAME} beside it: {error}"
        ) from error
    model.dataset_meta, model.cfg = checkpoint["meta"]["dataset_meta"], config
    return model.to(device).eval()


def read_config(path: Path) -> dict[str, Any]:
    """Read a config that `fine_tune` wrote; mmseg's reader in an older version's config is replaced by this library's.

    Raises:
        CheckpointError: the config is damaged.
    """
    try:
        config = read_json(path)
        return {**config, "test_pipeline": with_our_readers(config["test_pipeline"])}
    except (KeyError, OSError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} cannot be read as the config of a fine-tune ({type(error).__name__}: {error}): it is damaged, or "
            "was not written by this library. Bring the file back, or train again in another folder."
        ) from error


def predict(model: nn.Module | str | Path, pictures: Iterable[Picture]) -> list[NDArray[np.uint8]]:
    """Predict the class of each pixel of whole pictures, at their own size.

    Args:
        model: a segmentor of mmseg, or the folder that `fine_tune` returned.
        pictures: pictures in any form that `sslhsic_transfer.data.images` takes; the segmentor normalizes them.

    Returns:
        Class numbers (H, W) of each picture.

    Raises:
        ImageError: a picture cannot be read.
        CheckpointError: as for `load_segmentor`.
    """
    segmentor = model if isinstance(model, nn.Module) else load_segmentor(model)
    with evaluating(segmentor):
        return [_classes_of(segmentor, picture) for picture in pictures]


def evaluate(model: nn.Module | str | Path, data: SegmentationData) -> Confusion:
    """Compare a segmentor's predictions of whole pictures with their masks.

    Args:
        model: as for `predict`.
        data: the examples.

    Raises:
        DataError: a picture and its mask differ in size, or the classes are not those of the segmentor.
        ImageError, CheckpointError: as for `predict`.
    """
    segmentor: Any = model if isinstance(model, nn.Module) else load_segmentor(model)
    count = len(data.classes)
    if segmentor.num_classes != count:
        raise DataError(f"{data.name} has {count} classes; the segmentor knows {segmentor.num_classes}.")
    confusion = Confusion(data.classes)
    with evaluating(segmentor):
        for index, (path, _) in enumerate(data.pairs):
            confusion.update(data.read_mask(index), _classes_of(segmentor, path))
    return confusion


@torch.no_grad()
def _classes_of(segmentor: Any, picture: Picture) -> NDArray[np.uint8]:
    bgr: Tensor = to_uint8_tensor(picture).flip(0)
    (sample,) = segmentor.test_step({"inputs": [bgr], "data_samples": None})
    classes: NDArray[np.uint8] = sample.pred_sem_seg.data[0].cpu().numpy().astype(np.uint8)
    return classes
