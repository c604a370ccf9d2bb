import pytest
import torch
from detectron2.layers import FrozenBatchNorm2d
from detectron2.modeling import build_model
from torch import nn

from sslhsic_transfer import Encoder, create_encoder
from sslhsic_transfer.adapters.backbone import DenseBackbone
from sslhsic_transfer.adapters.detectron2.backbone import STAGE_OF, SSLHSICBackbone
from sslhsic_transfer.errors import ConfigError
from tests.adapters.detectron2.networks import build, loss_of, small_config
from tests.contracts import AdapterContract, trained_encoder


class Detectron2Detector(AdapterContract):
    name: str

    @pytest.fixture(scope="class")
    def saved(self, encoder, tmp_path_factory):
        """Save an encoder: a configuration names one, and cannot hold one."""
        return encoder.save_pretrained(tmp_path_factory.mktemp("encoder"))

    @pytest.fixture(autouse=True)
    def _folder(self, request):
        self.request = request

    def build(self, source, **options):
        source = self.request.getfixturevalue("saved") if isinstance(source, Encoder) else source
        return build(self.name, source, **options)

    def loss(self, model):
        return loss_of(model)


class TestFasterRCNN(Detectron2Detector):
    name = "faster_rcnn_fpn"

    def backbone(self, model):
        return model.backbone.bottom_up

    def maps(self, model, images):
        found = model.backbone.bottom_up(images)
        assert list(found) == ["res2", "res3", "res4", "res5"]
        return {STAGE_OF[name]: found[name] for name in found}


class TestFasterRCNNC4(Detectron2Detector):
    name = "faster_rcnn_c4"

    @pytest.fixture(scope="class", params=["resnet18", "resnet50"])
    def encoder(self, request):
        """A ResNet: its last stage is the head."""
        return trained_encoder(request.param)

    def network(self, model):
        return model.backbone.backbone

    def backbone(self, model):
        """Join the backbone's stem to layer3 and the region heads' layer4 under torchvision's names."""
        trunk, head = model.backbone, model.roi_heads.res5
        assert not list(trunk.layer4.parameters())
        assert {name.split(".")[0] for name, _ in head.named_parameters()} <= {"layer4", "norm"}
        parts = {name: getattr(trunk, name) for name in ("conv1", "bn1", "layer1", "layer2", "layer3")}
        whole = nn.ModuleDict(parts | {"layer4": head.layer4})
        assert head.report == trunk.report
        whole.report, whole.conv1 = trunk.report, trunk.conv1
        return whole

    def maps(self, model, images):
        res4 = model.backbone(images)["res4"]
        assert isinstance(model.roi_heads.res5.norm, nn.BatchNorm2d)  # MoCo's extra normalization
        return {"c4": res4, "c5": model.roi_heads.res5.layer4(res4)}


def test_a_retinanet_trains_every_part_of_its_encoder(model_folder):
    model = build("retinanet", model_folder, freeze_at=1).train()
    assert list(model.backbone.output_shape()) == ["p3", "p4", "p5", "p6", "p7"]
    loss_of(model).backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == name.startswith(("backbone.bottom_up.conv1.", "backbone.bottom_up.bn1.")), (
            name
        )


@torch.no_grad()
@pytest.mark.parametrize("norm", ["BN", "SyncBN", "FrozenBN"])
def test_every_norm_computes_the_same(norm):
    encoder = trained_encoder("resnet18")
    backbone = SSLHSICBackbone(encoder, norm=norm).eval()
    kind = {"BN": nn.BatchNorm2d, "SyncBN": nn.SyncBatchNorm, "FrozenBN": FrozenBatchNorm2d}[norm]
    norms = [layer for name, layer in backbone.named_modules() if "bn" in name.split(".")[-1]]
    assert len(norms) == 17
    assert all(type(layer) is kind for layer in norms)
    images = torch.randn(2, 3, 70, 65)
    for wanted, found in zip(encoder.feature_maps(images).values(), backbone(images).values(), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("freeze_at", range(6))
@pytest.mark.parametrize("norm", ["BN", "SyncBN"])
def test_freeze_at_counts_as_detectron2_does(freeze_at, norm):
    backbone = SSLHSICBackbone(create_encoder("resnet18"), freeze_at=freeze_at, norm=norm).train()
    parts = ["conv1", "layer1", "layer2", "layer3", "layer4"]
    trains = [all(p.requires_grad for p in getattr(backbone, part).parameters()) for part in parts]
    assert trains == [False] * freeze_at + [True] * (5 - freeze_at)
    assert backbone.bn1.training == (freeze_at == 0)


def test_the_shapes_are_those_of_the_maps():
    encoder = create_encoder("resnet50").eval()
    for names, dilation in ((("res4",), 1), (("res5",), 2), (("res2", "res5"), 1)):
        backbone = SSLHSICBackbone(encoder, names, res5_dilation=dilation).eval()
        maps, shapes = backbone(torch.randn(1, 3, 64, 96)), backbone.output_shape()
        assert maps.keys() == shapes.keys() == set(names)
        for name, level in maps.items():
            stride = shapes[name].stride
            assert tuple(level.shape) == (1, shapes[name].channels, 64 // stride, 96 // stride)
    assert not list(SSLHSICBackbone(encoder, ("res3",)).layer3.parameters())


@torch.no_grad()
def test_a_dilated_res5_is_the_dense_backbones():
    encoder = trained_encoder("resnet18")
    images = torch.randn(1, 3, 96, 64)
    found = SSLHSICBackbone(encoder, ("res5",), res5_dilation=2).eval()(images)["res5"]
    wanted = DenseBackbone(encoder, ("c5",), output_stride=16).eval()(images)["c5"]
    assert torch.equal(found, wanted)


def test_what_cannot_be_is_refused():
    encoder = create_encoder("resnet18")
    with pytest.raises(ConfigError, match="NORM: got 'GN'"):
        SSLHSICBackbone(encoder, norm="GN")
    with pytest.raises(ConfigError, match=r"OUT_FEATURES: got \['res1'\]"):
        SSLHSICBackbone(encoder, ["res1"])
    with pytest.raises(ConfigError, match="RES5_DILATION: got 4"):
        SSLHSICBackbone(encoder, res5_dilation=4)
    with pytest.raises(ConfigError, match="freeze_at: got 6"):
        SSLHSICBackbone(encoder, freeze_at=6)
    with pytest.raises(ConfigError, match="the stem 'small'"):
        SSLHSICBackbone(create_encoder("resnet18", stem="small"))


@torch.no_grad()
def test_same_padding_and_width_go_along():
    encoder = create_encoder("resnet18", padding="same", width=2).eval()
    images = torch.randn(1, 3, 64, 64)
    found = SSLHSICBackbone(encoder).eval()(images)
    assert torch.equal(found["res5"], encoder.feature_maps(images)["c5"])


@torch.no_grad()
def test_the_detectors_input_is_the_encoders(model_folder, tmp_path):
    """Bytes go in; what reaches the first layer is what the encoder's preprocessing makes of them."""
    encoder = Encoder.from_pretrained(model_folder)
    numbers = encoder.preprocessing.model_copy(update={"mean": (0.1, 0.2, 0.3), "std": (0.5, 0.6, 0.7)})
    encoder.preprocessing = numbers
    saved = encoder.save_pretrained(tmp_path / "encoder")
    pixels = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    model = build("faster_rcnn_fpn", saved)
    found = model.preprocess_image([{"image": pixels.float()}]).tensor[0]
    mean, std = (torch.tensor(triple)[:, None, None] for triple in (numbers.mean, numbers.std))
    torch.testing.assert_close(found, (pixels / 255 - mean) / std, rtol=1e-5, atol=1e-5)


def test_pictures_prepared_otherwise_are_refused(model_folder):
    for key, value in (("INPUT.FORMAT", "BGR"), ("MODEL.PIXEL_MEAN", [103.53, 116.28, 123.675])):
        cfg = small_config("faster_rcnn_fpn", model_folder)
        cfg.merge_from_list([key, value])
        with pytest.raises(ConfigError, match=rf"configure\(cfg, encoder\).\n{key}: got"):
            build_model(cfg)
