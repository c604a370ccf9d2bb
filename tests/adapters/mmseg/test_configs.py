import subprocess
import sys
from pathlib import Path

import mmseg
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from mmseg.registry import MODELS
from PIL import Image

from sslhsic_transfer import Preprocessing, create_encoder
from sslhsic_transfer.adapters.mmseg import CONFIGS, SSLHSICRunner
from sslhsic_transfer.adapters.mmseg.config_runner import fit_model, head_config
from sslhsic_transfer.data.labelled.segmentation import CITYSCAPES_CLASSES
from sslhsic_transfer.errors import ModelNotFoundError

HEADS = ("deeplabv3plus", "fcn", "upernet")
CLASSES = {"ade20k": 150, "camvid": 11, "cityscapes": 19, "voc12aug": 21}
NAMES = [f"{head}_{data}" for head in HEADS for data in CLASSES]


def put(path: Path, pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(path)


def lay_out(data: str, root: Path) -> None:
    """One drawn example a split in the layout of a data set; its mask holds the last class and what is ignored."""
    picture = np.random.default_rng(0).integers(0, 256, (70, 90, 3))
    mask = np.zeros((70, 90))
    mask[:20], mask[20:40] = CLASSES[data] - 1, 255
    if data == "voc12aug":
        for split, masks in (("train_aug", "SegmentationClassAug"), ("val", "SegmentationClass")):
            (root / "ImageSets/Segmentation").mkdir(parents=True, exist_ok=True)
            (root / f"ImageSets/Segmentation/{split}.txt").write_text("a\n")
            put(root / masks / "a.png", mask)
        put(root / "JPEGImages/a.jpg", picture)
    elif data == "ade20k":
        for split in ("training", "validation"):
            put(root / f"images/{split}/a.jpg", picture)
            put(root / f"annotations/{split}/a.png", np.where(mask == 255, 0, mask + 1))
        rows = "".join(f"{n}\t0.1\t1\t1\tclass {n}\n" for n in range(1, 151))
        (root / "objectInfo150.txt").write_text("Idx\tRatio\tTrain\tVal\tName\n" + rows)
    elif data == "cityscapes":
        for split in ("train", "val"):
            put(root / f"leftImg8bit/{split}/ulm/a_leftImg8bit.png", picture)
            labels = np.select([mask == len(CITYSCAPES_CLASSES) - 1, mask == 255], [33, 0], 7)
            put(root / f"gtFine/{split}/ulm/a_gtFine_labelIds.png", labels)
    else:
        for split in ("train", "val"):
            put(root / f"{split}/a.png", picture)
            put(root / f"{split}annot/a.png", np.where(mask == 255, 11, mask))
            (root / f"{split}.txt").write_text(f"{split}/a.png {split}annot/a.png\n")
        (root / "classes.txt").write_text("".join(f"{n}\n" for n in range(11)) + "void\n")


def test_every_head_has_every_data_set():
    assert sorted(path.stem for path in CONFIGS.glob("*.py")) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_models_and_pipelines_are_built(name, tmp_path):
    data = name.split("_")[1]
    lay_out(data, tmp_path)
    config = Config.fromfile(CONFIGS / f"{name}.py")
    assert f"{name}.py --launcher pytorch" in config.text
    config.model.backbone.update(model=None, architecture="resnet18")
    fit_model(config.model, create_encoder("resnet18"))
    init_default_scope("mmseg")
    model = MODELS.build(config.model)
    assert model.num_classes == CLASSES[data]
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        settings = config[loader].dataset
        assert settings.data_root == config.data_root
        dataset = DATASETS.build({**settings, "data_root": str(tmp_path)})
        assert len(dataset.metainfo["classes"]) == CLASSES[data]
        example = dataset[0]
        seen = set(example["data_samples"].gt_sem_seg.data.unique().tolist())
        assert seen <= {0, CLASSES[data] - 1, 255}
        if loader != "train_dataloader":
            assert seen == {0, CLASSES[data] - 1, 255}
            assert example["inputs"].shape == (3, 70, 90)
    batch = {"inputs": [dataset[0]["inputs"]] * 2, "data_samples": [dataset[0]["data_samples"] for _ in range(2)]}
    ready = model.data_preprocessor(batch, training=True)
    assert ready["inputs"].shape[-2:] == config.crop_size
    small = ready["inputs"][..., :64, :64]
    with torch.no_grad():
        assert model.eval()(small, mode="tensor").shape[1] == CLASSES[data]


def test_the_protocol_on_voc():
    """BYOL's appendix D.4."""
    config = Config.fromfile(CONFIGS / "fcn_voc12aug.py")
    assert config.train_dataloader.batch_size * 8 == 16
    assert config.train_cfg.max_iters == 30000
    assert config.optim_wrapper.optimizer.weight_decay == 1e-4
    (schedule,) = config.param_scheduler
    assert (schedule.gamma, schedule.milestones) == (0.1, [21000, 27000])
    steps = {step.type: step for step in config.train_dataloader.dataset.pipeline}
    assert steps["SSLHSICRandomScale"].ratio_range == (0.5, 2.0)
    assert steps["RandomCrop"].crop_size == config.model.data_preprocessor["size"] == (513, 513)
    assert steps["RandomFlip"].prob == 0.5
    assert config.train_dataloader.dataset.split == "train_aug"
    model = head_config("fcn", 21)
    model["backbone"].update(model=None, architecture="resnet50")
    init_default_scope("mmseg")
    head = (model := MODELS.build(model)).decode_head
    layers = [layer for layer in head.modules() if isinstance(layer, torch.nn.Conv2d)]
    shapes = [(layer.in_channels, layer.out_channels, layer.kernel_size, layer.dilation) for layer in layers]
    assert sorted(shapes) == [
        (256, 21, (1, 1), (1, 1)),
        (256, 256, (3, 3), (6, 6)),
        (2048, 256, (3, 3), (6, 6)),
    ]
    assert head.dropout is None
    assert model.backbone.specs["c5"].stride == 16
    assert model.backbone.layer4[1].conv2.dilation == (2, 2)


def test_the_runner_completes_a_config(tmp_path, model_folder):
    """Channels and normalization follow from the model, each data set's folder from data_root."""
    lay_out("camvid", tmp_path)
    encoder = create_encoder(
        "resnet18", preprocessing=Preprocessing(resize=64, crop=64, mean=(0.5, 0.5, 0.5), std=(0.5, 0.25, 0.5))
    )
    encoder.save_pretrained(tmp_path / "model")
    config = Config.fromfile(CONFIGS / "deeplabv3plus_camvid.py")
    config.merge_from_dict({"model.backbone.model": str(tmp_path / "model"), "data_root": str(tmp_path)})
    config.update(work_dir=str(tmp_path / "work"), log_level="ERROR")
    runner = SSLHSICRunner.from_cfg(config)
    assert runner.model.decode_head.in_channels == 512
    assert runner.model.auxiliary_head.in_channels == 256
    assert runner.model.decode_head.c1_bottleneck.conv.in_channels == 64
    assert runner.model.data_preprocessor.std.flatten().tolist() == [127.5, 63.75, 127.5]
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        assert runner.cfg[loader].dataset.data_root == str(tmp_path)
    assert not any(isinstance(m, torch.nn.SyncBatchNorm) for m in runner.model.modules())


def test_a_model_must_be_named(tmp_path):
    config = Config.fromfile(CONFIGS / "fcn_camvid.py")
    config.work_dir = str(tmp_path)
    with pytest.raises(ModelNotFoundError, match="MODEL"):
        SSLHSICRunner.from_cfg(config)


def test_mmsegs_own_tool_trains_by_a_config(tmp_path, model_folder, camvid):
    """A real process of mmseg's tools/train.py, on real pictures."""
    root = camvid("train", 1).pairs[0][0].parents[1]
    options = {
        "model.backbone.model": model_folder,
        "data_root": root,
        "train_cfg.max_iters": 2,
        "train_cfg.val_interval": 10,
        "train_dataloader.num_workers": 0,
        "train_dataloader.persistent_workers": False,
        "train_dataloader.dataset.pipeline.3.crop_size": "(64,64)",
        "model.data_preprocessor.size": "(64,64)",
        "val_dataloader.num_workers": 0,
        "val_dataloader.persistent_workers": False,
        "val_dataloader.dataset.indices": 1,
        "default_hooks.logger.interval": 1,
    }
    tool = Path(mmseg.__file__).parent / ".mim" / "tools" / "train.py"
    arguments = [f"{name}={value}" for name, value in options.items()]
    command = [sys.executable, tool, CONFIGS / "fcn_camvid.py", "--work-dir", tmp_path, "--cfg-options", *arguments]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "Iter(train) [2/2]" in done.stdout
    assert "mIoU" in done.stdout
    assert (tmp_path / "iter_2.pth").is_file()
