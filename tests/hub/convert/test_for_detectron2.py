import pytest
import torch
import yaml

import sslhsic_transfer.adapters.detectron2.compat  # noqa: F401 - before Detectron2 itself

# isort: split
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from detectron2.modeling.backbone.resnet import build_resnet_backbone

from sslhsic_transfer import create_encoder
from sslhsic_transfer.errors import ConfigError, OutputExistsError
from sslhsic_transfer.hub.convert import save_detectron2, to_detectron2
from sslhsic_transfer.hub.convert.for_detectron2 import detectron2_settings
from tests.contracts import trained_encoder


def own_config(settings):
    """Detectron2's defaults with our fragment, and nothing of this adapter."""
    cfg = get_cfg()
    cfg.merge_from_other_cfg(type(cfg)(settings))
    cfg.MODEL.DEVICE = "cpu"
    return cfg


def load(model, path):
    """Load a file; return the names that Detectron2 misses in it, and those without a place."""
    found = DetectionCheckpointer(model)._load_model(DetectionCheckpointer(model)._load_file(str(path)))
    assert not found.incorrect_shapes
    return set(found.missing_keys), set(found.unexpected_keys)


@torch.no_grad()
@pytest.mark.parametrize("norm", ["BN", "FrozenBN"])
@pytest.mark.parametrize("architecture", ["resnet18", "resnet50"])
def test_detectron2s_own_resnet_gives_the_encoders_features(architecture, norm, tmp_path):
    encoder = trained_encoder(architecture)
    weights, settings = save_detectron2(encoder, tmp_path / "model.pkl", "resnet")
    cfg = own_config(yaml.safe_load(settings.read_text()))
    assert str(weights) == cfg.MODEL.WEIGHTS
    cfg.MODEL.RESNETS.NORM = norm
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    network = build_resnet_backbone(cfg, ShapeSpec(channels=3)).eval()
    assert load(network, weights) == (set(), set())
    images = torch.randn(2, 3, 70, 131)
    for (stage, wanted), found in zip(encoder.feature_maps(images).items(), network(images).values(), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4, msg=stage)


@pytest.mark.parametrize(
    ("network", "prefixes"), [("fpn", ("backbone.bottom_up.",)), ("c4", ("backbone.", "roi_heads.res5."))]
)
def test_every_name_has_its_place_in_a_whole_detector(network, prefixes, tmp_path):
    encoder = trained_encoder("resnet50")
    weights, settings = save_detectron2(encoder, tmp_path / "model.pkl", network)
    cfg = own_config(yaml.safe_load(settings.read_text()))
    if network == "fpn":
        cfg.MODEL.RESNETS.OUT_FEATURES = cfg.MODEL.FPN.IN_FEATURES = ["res2", "res3", "res4", "res5"]
        cfg.MODEL.RPN.IN_FEATURES = cfg.MODEL.ROI_HEADS.IN_FEATURES = ["p2", "p3", "p4", "p5"]
        cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[32], [64], [128], [256]]
        cfg.MODEL.ROI_HEADS.NAME = "StandardROIHeads"
        cfg.MODEL.ROI_BOX_HEAD.NAME = "FastRCNNConvFCHead"
        cfg.MODEL.ROI_BOX_HEAD.NUM_FC = 1
        cfg.MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION = 7
    model = build_model(cfg)
    missing, unexpected = load(model, weights)
    assert not unexpected
    assert not [name for name in missing if name.startswith(prefixes) and "fpn_" not in name]
    state = model.state_dict()
    for name, value in to_detectron2(encoder, network).items():
        assert torch.equal(state[name], torch.from_numpy(value)), name


def test_the_settings_are_those_that_the_weights_need():
    encoder = create_encoder("resnet34")
    encoder.preprocessing = encoder.preprocessing.model_copy(update={"mean": (0.5, 0.4, 0.3), "std": (0.1, 0.2, 1.0)})
    settings = detectron2_settings(encoder, "fpn")
    assert settings["INPUT"]["FORMAT"] == "RGB"
    assert settings["MODEL"]["PIXEL_MEAN"] == [127.5, 102.0, 76.5]
    assert settings["MODEL"]["PIXEL_STD"] == [25.5, 51.0, 255.0]
    assert settings["MODEL"]["BACKBONE"] == {"NAME": "build_resnet_fpn_backbone", "FREEZE_AT": 0}
    resnet = {"DEPTH": 34, "STRIDE_IN_1X1": False, "NORM": "SyncBN", "RES2_OUT_CHANNELS": 64}
    assert settings["MODEL"]["RESNETS"] == resnet


@pytest.mark.parametrize(
    ("options", "network", "message"),
    [
        ({"stem": "small"}, "fpn", "stem: got 'small'"),
        ({"padding": "same"}, "fpn", "padding: got 'same'"),
        ({"width": 2}, "fpn", "width: got 2"),
        ({}, "c4", "bottleneck blocks only"),
        ({}, "c5", "network: got 'c5'"),
    ],
)
def test_what_detectron2_cannot_be_is_refused(options, network, message):
    with pytest.raises(ConfigError, match=message):
        to_detectron2(create_encoder("resnet18", **options), network)


def test_a_depth_that_detectron2_does_not_have_is_refused():
    with torch.device("meta"):
        encoder = create_encoder("resnet200")
    with pytest.raises(ConfigError, match="architecture: got 'resnet200'"):
        to_detectron2(encoder)


def test_files_are_not_replaced_unless_asked(tmp_path):
    encoder = create_encoder("resnet18")
    save_detectron2(encoder, tmp_path / "model.pkl")
    with pytest.raises(OutputExistsError, match=r"model\.pkl already exists"):
        save_detectron2(encoder, tmp_path / "model.pkl")
    save_detectron2(encoder, tmp_path / "model.pkl", overwrite=True)
