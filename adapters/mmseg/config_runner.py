"""Completion of the adapter's configs at run time: the encoder's channels and normalization, and the data's folder."""

import copy
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dataset import InfiniteSampler
from mmengine.dist import is_main_process
from mmengine.runner import IterBasedTrainLoop, Runner, find_latest_checkpoint
from mmseg.registry import RUNNERS

from sslhsic_transfer._files import atomic_path, write_text
from sslhsic_transfer.adapters.loading import with_our_workers
from sslhsic_transfer.adapters.mmseg.backbone import SSLHSICEncoder, source_encoder
from sslhsic_transfer.adapters.mmseg.preprocessing import data_preprocessor
from sslhsic_transfer.adapters.mmseg.resuming import CHECKPOINT, NumberedSampler, SeededExamples, StepSeedHook
from sslhsic_transfer.adapters.mmseg.transforms import with_our_readers
from sslhsic_transfer.data.readers import saving_first
from sslhsic_transfer.hub.encoder import Encoder
from sslhsic_transfer.models.config import STAGES
from sslhsic_transfer.training.divergence import divergence

CONFIGS = Path(__file__).parent / "configs"  # for Config.fromfile and mmseg's tools


@RUNNERS.register_module()
class SSLHSICRunner(Runner):
    """Mmengine's runner for the adapter's configs, in which the model and the data's folder are each named once.

    ``--cfg-options model.backbone.model=… data_root=…`` is enough to use another encoder, of any width, and another
    folder of data. A picture that cannot be read ends the run with an error that names it, without the reader's
    traceback, and with a checkpoint of the steps before.

    With mmengine's ``InfiniteSampler`` and a seed, an example's augmentation depends only on its place in the order of
    examples, and a step's random numbers on its iteration: a resumed run continues as if it had never stopped.
    """

    @staticmethod
    def build_dataloader(dataloader: Any, seed: int | None = None, diff_rank_seed: bool = False) -> Any:
        """Build a loader as mmengine does, with this library's readers."""
        loader = Runner.build_dataloader(dataloader, seed, diff_rank_seed)
        if seed is not None and isinstance(loader.sampler, InfiniteSampler):
            examples = SeededExamples(loader.dataset, seed)
            ours = with_our_workers(loader, dataset=examples, sampler=NumberedSampler(loader.sampler))
        else:
            ours = with_our_workers(loader)
        wrapper: Any = ours.dataset
        wrapper.metainfo = getattr(loader.dataset, "metainfo", None)  # mmengine reads the classes from it
        return ours

    def register_hooks(self, default_hooks: Any = None, custom_hooks: Any = None) -> None:
        """Register mmengine's hooks, the config's, and the one that seeds each step."""
        super().register_hooks(default_hooks, custom_hooks)
        self.register_hook(StepSeedHook())

    def train(self) -> Any:
        """Train to the end.

        Raises:
            SSLHSICError: a picture cannot be read; the first process saves the state after the last step.
        """
        with saving_first(self._save_reached):
            return super().train()

    def save_checkpoint(self, out_dir: str, filename: str, *arguments: Any, **options: Any) -> None:
        """Write a checkpoint as mmengine does, which appears in a local folder only once it is complete."""
        if "://" in out_dir or not is_main_process():
            super().save_checkpoint(out_dir, filename, *arguments, **options)
            return
        with atomic_path(Path(out_dir) / filename) as temporary:
            super().save_checkpoint(out_dir, temporary.name, *arguments, **options)

    def save_step(self, step: int) -> Path:
        """Write the checkpoint from which a run goes on after ``step`` steps, and return its path."""
        path = Path(self.work_dir) / CHECKPOINT.format(step)
        # Without this meta, mmengine takes the call to be within a step, and counts one more.
        self.save_checkpoint(self.work_dir, path.name, meta={"epoch": self.epoch, "iter": step}, by_epoch=False)
        write_text(Path(self.work_dir) / "last_checkpoint", str(path))
        return path

    def _save_reached(self) -> Path | None:
        """Save the state after the last step; return the file, or None if there is no finite state to save."""
        loop = self._train_loop
        step = getattr(loop, "iter", 0)
        if not isinstance(loop, IterBasedTrainLoop) or not step or not is_main_process():
            return None
        latest = find_latest_checkpoint(self.work_dir)
        if latest is not None and Path(latest).name == CHECKPOINT.format(step) and Path(latest).is_file():
            return Path(latest)
        if divergence(None, self.model.parameters(), step, causes=""):
            return None
        return self.save_step(step)

    @classmethod
    def from_cfg(cls, cfg: Any) -> Any:
        """Complete the config, and build the runner that it describes."""
        cfg = copy.deepcopy(cfg)
        for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
            if cfg.get(loader) is not None and "data_root" in cfg:
                cfg[loader]["dataset"]["data_root"] = cfg["data_root"]
        backbone = cfg["model"]["backbone"]
        if backbone["type"] == SSLHSICEncoder.__name__:
            options = (backbone.get(name) for name in ("model", "architecture", "init_cfg"))
            fit_model(cfg["model"], source_encoder(*options))
        return super().from_cfg(cfg)


def fit_model(model: Any, encoder: Encoder) -> None:
    """Set the encoder's channels in the heads of a segmentor's config, and its normalization in the preprocessor.

    Args:
        model: the config of an ``EncoderDecoder``, which is changed.
        encoder: the encoder that its backbone will be.
    """
    stages = [STAGES[index] for index in model["backbone"].get("out_indices", range(len(STAGES)))]
    channels = [encoder.specs[stage].channels for stage in stages]
    for head in (model["decode_head"], model.get("auxiliary_head")):
        if head is not None:
            index = head["in_index"]
            head["in_channels"] = channels[index] if isinstance(index, int) else [channels[i] for i in index]
            if "c1_in_channels" in head:
                head["c1_in_channels"] = channels[0]
    size = model["data_preprocessor"].get("size")
    model["data_preprocessor"].update(data_preprocessor(encoder, size))


def head_config(name: str, classes: int) -> dict[str, Any]:
    """Load a segmentor's config by the name of its head, as plain data.

    Args:
        name: name of a file in ``configs/_base_/models``, without its ending.
        classes: number of classes.
    """
    model: dict[str, Any] = _plain(f"models/{name}.py")["model"]
    for head in ("decode_head", "auxiliary_head"):
        if head in model:
            model[head] |= {"num_classes": classes, "out_channels": classes}
    return model


def pipelines(
    crop: tuple[int, int],
    *,
    scale: tuple[float, float] = (0.5, 2.0),
    short_side: int | None = None,
    color_jitter: float = 0.0,
) -> tuple[list[Any], list[Any]]:
    """Make the pipelines of training and evaluation, as in the adapter's configs.

    Args:
        crop: (height, width) of training crops.
        scale: range of the random factor before the crop.
        short_side: short side in pixels that the factor multiplies; None: the picture's own.
        color_jitter: strength of brightness, contrast and saturation; 0: none.
    """
    data = _plain("datasets/data.py")
    scaled = {**data["scale"], "ratio_range": scale, "short_side": short_side}
    crops = {"type": "RandomCrop", "crop_size": crop, "cat_max_ratio": 0.75}
    around_one = (1 - color_jitter, 1 + color_jitter)
    colors = {
        "type": "PhotoMetricDistortion",
        "brightness_delta": round(127 * color_jitter),
        "contrast_range": around_one,
        "saturation_range": around_one,
        "hue_delta": 1,  # the least that mmseg allows
    }
    training = [*data["load"], scaled, crops, *([colors] if color_jitter else []), *data["flip_and_pack"]]
    return training, with_our_readers(data["test_pipeline"])


def _plain(name: str) -> dict[str, Any]:
    values: dict[str, Any] = Config.fromfile(CONFIGS / "_base_" / name).to_dict()
    return values
