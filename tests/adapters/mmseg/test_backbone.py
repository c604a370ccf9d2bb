import pytest
import torch
from mmengine.model import BaseModule, revert_sync_batchnorm
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from torch import nn

from sslhsic_transfer import Encoder, create_encoder
from sslhsic_transfer.adapters.mmseg import SSLHSICEncoder
from sslhsic_transfer.errors import ConfigError, WeightsError
from sslhsic_transfer.models.config import STAGES, EncoderConfig
from tests.contracts import AdapterContract, trained_encoder


class TestSSLHSICEncoder(AdapterContract):
    def build(self, source, *, freeze_at=0, **options):
        return MODELS.build(dict(type="SSLHSICEncoder", model=source, frozen_stages=freeze_at - 1, **options))

    def backbone(self, model):
        return model

    def maps(self, model, images):
        return dict(zip(STAGES, model(images), strict=True))

    def loss(self, model):
        return sum(level.square().mean() for level in model(torch.randn(2, 3, 64, 96)))


def segmentor(backbone, *, in_channels, in_index, init_cfg=None):
    head = {"type": "FCNHead", "in_channels": in_channels, "in_index": in_index, "channels": 16, "num_classes": 3}
    loss = {"type": "CrossEntropyLoss", "avg_non_ignore": True}
    return EncoderDecoder(
        backbone={"type": "SSLHSICEncoder", **backbone},
        decode_head={**head, "num_convs": 1, "loss_decode": loss},
        init_cfg=init_cfg,
    )


class TestSegmentor(AdapterContract):
    """The same under a head, as mmseg builds it."""

    def build(self, source, *, freeze_at=0, **options):
        backbone = {"model": source, "frozen_stages": freeze_at - 1, "out_indices": (1, 3), **options}
        channels = source.feature_dim if isinstance(source, Encoder) else 512
        model = segmentor(backbone, in_channels=channels, in_index=1)
        model.init_weights()
        return model

    def backbone(self, model):
        return model.backbone

    def maps(self, model, images):
        return dict(zip(("c3", "c5"), model.extract_feat(images), strict=True))

    def whole(self, model, images):
        return {"logits": model(images, mode="tensor")}

    def loss(self, model):
        return model(torch.randn(2, 3, 64, 96), mode="tensor").square().mean()


def build(**options):
    return SSLHSICEncoder(**({"model": trained_encoder("resnet18")} | options))


def test_it_is_a_module_of_mmengine():
    assert isinstance(build(), BaseModule)


@torch.no_grad()
@pytest.mark.parametrize("init_cfg", [None, [{"type": "Constant", "layer": ["Conv2d", "BatchNorm2d"], "val": 0.5}]])
def test_initializing_a_segmentor_leaves_the_weights(init_cfg):
    encoder = trained_encoder("resnet18")
    model = segmentor({"model": encoder}, in_channels=512, in_index=3, init_cfg=init_cfg)
    model.init_weights()
    state = model.backbone.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in encoder.state_dict().items())
    if init_cfg:
        assert (model.decode_head.convs[0].conv.weight == 0.5).all()


@pytest.mark.parametrize("frozen_stages", range(-1, 5))
def test_frozen_stages_count_as_in_mmseg(frozen_stages):
    ours, theirs = build(frozen_stages=frozen_stages), mmseg_resnet(frozen_stages=frozen_stages)
    for model in (ours, theirs):
        model.train()
    training = {name: p.requires_grad for name, p in theirs.named_parameters()}
    assert {name: p.requires_grad for name, p in ours.named_parameters()} == training
    modes = {name: m.training for name, m in theirs.named_modules() if isinstance(m, nn.BatchNorm2d)}
    assert {name: m.training for name, m in ours.named_modules() if isinstance(m, nn.BatchNorm2d)} == modes


@torch.no_grad()
@pytest.mark.parametrize(("output_stride", "sides"), [(32, (16, 8, 4, 2)), (16, (16, 8, 4, 4)), (8, (16, 8, 8, 8))])
def test_output_stride(output_stride, sides):
    maps = build(output_stride=output_stride).eval()(torch.randn(1, 3, 64, 64))
    assert tuple(level.shape[-1] for level in maps) == sides


@torch.no_grad()
def test_out_indices_choose_the_maps():
    encoder, images = trained_encoder("resnet18"), torch.randn(1, 3, 64, 64)
    maps = build(out_indices=(0, 2)).eval()(images)
    expected = encoder.feature_maps(images, ("c2", "c4"))
    assert all(torch.equal(level, expected[stage]) for level, stage in zip(maps, ("c2", "c4"), strict=True))


@torch.no_grad()
def test_synchronized_statistics_keep_names_weights_and_what_is_frozen():
    plain = build(frozen_stages=1, norm_eval=True)
    synced = build(frozen_stages=1, norm_eval=True, norm_cfg={"type": "SyncBN"})
    norms = [m for m in synced.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert all(isinstance(norm, nn.SyncBatchNorm) and not norm.training for norm in norms)
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in synced.state_dict().items())
    assert {n: p.requires_grad for n, p in synced.named_parameters()} == {
        n: p.requires_grad for n, p in plain.named_parameters()
    }
    images = torch.randn(1, 3, 64, 64)
    reverted = revert_sync_batchnorm(synced).train()  # as mmengine does where training is not distributed
    for found, expected in zip(reverted(images), plain(images), strict=True):
        torch.testing.assert_close(found, expected)


def test_scales_and_offsets_may_stay_fixed():
    model = build(norm_cfg={"type": "BN", "requires_grad": False})
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (parameter.ndim == 4), name


def test_mmsegs_own_way_to_name_weights(model_folder):
    init_cfg = {"type": "Pretrained", "checkpoint": str(model_folder)}
    model = SSLHSICEncoder(init_cfg=init_cfg)
    model.init_weights()
    named = SSLHSICEncoder(str(model_folder))
    assert model.report.sha256 == named.report.sha256
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in named.state_dict().items())


def test_an_untrained_control():
    torch.manual_seed(1)
    first, second = SSLHSICEncoder(architecture="resnet18"), SSLHSICEncoder(architecture="resnet18")
    assert not torch.equal(first.conv1.weight, second.conv1.weight)
    assert first.report.sha256 is None
    fields = create_encoder("resnet18", padding="same", stem="small").config.model_dump()
    assert SSLHSICEncoder(architecture=fields).config == EncoderConfig(**fields)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": None}, "The backbone has no weights"),
        ({"architecture": "resnet34"}, "expected EncoderConfig(architecture='resnet34'"),
        ({"model": None, "architecture": "resnet19"}, "resnet19"),
        ({"out_indices": (1, 0)}, "out_indices: got (1, 0)"),
        ({"out_indices": (4,)}, "out_indices: got (4,)"),
        ({"frozen_stages": 5}, "frozen_stages: got 5; expected -1 to 4"),
        ({"norm_cfg": {"type": "GN"}}, "norm_cfg: got"),
        ({"init_cfg": {"type": "Kaiming"}}, "init_cfg: got"),
        ({"init_cfg": {"type": "Pretrained", "checkpoint": "x"}}, "no model beside it"),
        ({"output_stride": 4}, "output_stride: got 4"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(ConfigError) as caught:
        build(**options)
    assert message in str(caught.value)


def test_weights_that_do_not_fit_are_refused(own_model):
    (own_model / "model.safetensors").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"model\.safetensors"):
        SSLHSICEncoder(init_cfg={"type": "Pretrained", "checkpoint": str(own_model)})


def mmseg_resnet(**options):
    from mmseg.models.backbones import ResNet

    return ResNet(18, **options)
