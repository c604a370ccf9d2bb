import pytest
import torch
from detectron2.config import LazyConfig, get_cfg, instantiate
from detectron2.modeling import build_model

from sslhsic_transfer import Preprocessing, create_encoder
from sslhsic_transfer.adapters.detectron2 import add_sslhsic_config, config_file, configure, load_config
from sslhsic_transfer.adapters.detectron2.config import CONFIGS
from sslhsic_transfer.errors import ConfigError

NAMES = sorted(path.stem for path in CONFIGS.glob("*.yaml") if path.stem != "base")


@pytest.mark.parametrize("name", NAMES)
def test_every_configuration_builds(name, model_folder):
    cfg = load_config(name)
    configure(cfg, model_folder)
    cfg.MODEL.DEVICE = "cpu"
    model = build_model(cfg).eval()
    encoder = getattr(model.backbone, "bottom_up", model.backbone)
    assert encoder.report.sha256 is not None
    assert all(parameter.requires_grad for parameter in encoder.parameters())
    assert any(isinstance(layer, torch.nn.SyncBatchNorm) for layer in encoder.modules())


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith(("coco", "voc"))])
def test_each_holds_the_command_that_runs_it(name):
    text = config_file(name).read_text(encoding="utf-8")
    assert f"python -m sslhsic_transfer.adapters.detectron2 --config-file {name} --num-gpus 8" in text


def test_the_protocol_of_moco_on_voc():
    cfg = load_config("voc_faster_rcnn_c4_24k")
    assert (cfg.SOLVER.MAX_ITER, tuple(cfg.SOLVER.STEPS), cfg.SOLVER.WARMUP_ITERS) == (24000, (18000, 22000), 100)
    assert (cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.BASE_LR) == (16, 0.02)
    assert tuple(cfg.INPUT.MIN_SIZE_TRAIN) == tuple(range(480, 801, 32))
    assert (cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.FORMAT) == (800, "RGB")
    assert cfg.MODEL.PIXEL_MEAN == [123.675, 116.28, 103.53]
    assert cfg.MODEL.PIXEL_STD == [58.395, 57.12, 57.375]
    assert (cfg.MODEL.RESNETS.STRIDE_IN_1X1, cfg.MODEL.RESNETS.NORM, cfg.MODEL.BACKBONE.FREEZE_AT) == (
        False,
        "SyncBN",
        0,
    )
    assert (cfg.MODEL.ROI_HEADS.NAME, cfg.MODEL.SSLHSIC.EXTRA_NORM) == ("SSLHSICRes5ROIHeads", True)
    assert tuple(cfg.DATASETS.TRAIN) == ("voc_2007_trainval", "voc_2012_trainval")
    assert cfg.MODEL.ROI_HEADS.NUM_CLASSES == 20


@pytest.mark.parametrize("name", ["coco_faster_rcnn_fpn_1x", "coco_mask_rcnn_fpn_1x", "coco_retinanet_1x"])
def test_the_schedule_of_coco(name):
    cfg = load_config(name)
    assert (cfg.SOLVER.MAX_ITER, tuple(cfg.SOLVER.STEPS)) == (90000, (60000, 80000))
    assert (0.01 if "retinanet" in name else 0.02) == cfg.SOLVER.BASE_LR
    assert ("mask" in name) == cfg.MODEL.MASK_ON


def test_the_lazy_configuration_builds_over_a_named_encoder(model_folder):
    cfg = LazyConfig.load(str(config_file("mask_rcnn_fpn_1x_lazy")))
    cfg = LazyConfig.apply_overrides(cfg, [f"model.backbone.bottom_up.encoder={model_folder}"])
    model = instantiate(cfg.model)
    assert model.backbone.bottom_up.report.source == str(model_folder)
    assert model.pixel_mean.flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])
    assert model.pixel_std.flatten().tolist() == pytest.approx([58.395, 57.12, 57.375])
    assert (model.input_format, cfg.dataloader.train.mapper.image_format) == ("RGB", "RGB")
    assert cfg.train.max_iter == 90000
    found = model.eval()([{"image": torch.rand(3, 64, 64) * 255}])
    assert found[0]["instances"].has("pred_masks")


def test_a_lazy_configuration_builds_without_an_encoder():
    cfg = LazyConfig.load(str(config_file("mask_rcnn_fpn_1x_lazy")))
    assert instantiate(cfg.model.backbone).bottom_up.report.source == "resnet50"


def test_configure_writes_what_the_encoder_decides(model_folder):
    cfg = get_cfg()
    add_sslhsic_config(cfg)
    preprocessing = Preprocessing(mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    configure(cfg, create_encoder("resnet34", padding="same", width=2, preprocessing=preprocessing))
    settings = cfg.MODEL.SSLHSIC
    assert (settings.NAME, settings.ARCHITECTURE, settings.PADDING, settings.WIDTH) == ("", "resnet34", "same", 2)
    assert cfg.INPUT.FORMAT == "RGB"
    assert pytest.approx([25.5, 51, 76.5]) == cfg.MODEL.PIXEL_MEAN
    assert pytest.approx([127.5, 153, 178.5]) == cfg.MODEL.PIXEL_STD
    configure(cfg, model_folder)
    assert (str(model_folder), "resnet18") == (settings.NAME, settings.ARCHITECTURE)


def test_an_unknown_configuration_lists_the_known():
    with pytest.raises(ConfigError, match=r"no configuration 'yolo'; there are .*retinanet"):
        load_config("yolo")
