"""ConvNeXts and Vision Transformers against timm's own networks, and through the doors that every encoder has."""

import copy
import pickle

import pytest
import timm
import torch
from torch.nn import functional as F

from sslhsic_transfer import Encoder, Preprocessing, create_encoder, from_pretrained
from sslhsic_transfer.adapters.backbone import DenseBackbone
from sslhsic_transfer.errors import ConfigError, UnknownArchitectureError, WeightsError
from sslhsic_transfer.hub.convert import convert_timm
from sslhsic_transfer.models.config import STAGES, EncoderConfig

CONVNEXT, VIT, DINOV2, DINOV3 = (
    "convnext_atto",
    "vit_tiny_patch16",
    "vit_small_patch14_reg4_dinov2",
    "vit_small_patch16_dinov3",
)
ALL = [CONVNEXT, "convnextv2_atto", VIT, DINOV2, DINOV3]


def create(name: str) -> Encoder:
    torch.manual_seed(0)
    return create_encoder(name, preprocessing=Preprocessing.for_size(64)).eval()


@pytest.fixture(scope="module")
def encoders() -> dict[str, Encoder]:
    return {name: create(name) for name in ALL}


def theirs(encoder: Encoder) -> torch.nn.Module:
    """Timm's network with the encoder's weights, which have timm's names."""
    sizes = {} if "convnext" in encoder.config.architecture else {"dynamic_img_size": True}
    network = timm.create_model(encoder.config.architecture, num_classes=0, **sizes).eval()
    network.load_state_dict(encoder.state_dict())
    return network


@torch.no_grad()
@pytest.mark.parametrize("name", ALL)
def test_pooled_embeddings_are_timms(name, encoders):
    encoder = encoders[name]
    images = torch.randn(2, 3, 224, 224)  # a multiple of 14, 16 and 32: nothing is padded
    torch.testing.assert_close(encoder(images), theirs(encoder)(images), rtol=1e-5, atol=1e-5)
    assert encoder(images).shape == (2, encoder.feature_dim)


@torch.no_grad()
@pytest.mark.parametrize("name", [CONVNEXT, "convnextv2_atto"])
def test_maps_of_a_convnext_are_those_of_features_only(name, encoders):
    encoder = encoders[name]
    images = torch.randn(1, 3, 96, 160)
    network = timm.create_model(encoder.config.architecture, features_only=True).eval()
    state = {
        key.replace("stem.", "stem_").replace("stages.", "stages_"): value
        for key, value in encoder.state_dict().items()
    }
    missing, unexpected = network.load_state_dict(state, strict=False)
    assert not missing
    assert all(key.startswith("head.") for key in unexpected)
    for found, expected in zip(encoder.feature_maps(images).values(), network(images), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("name", [VIT, DINOV2, DINOV3])
def test_maps_of_a_vit_are_its_normalized_tokens_after_each_quarter(name, encoders):
    encoder = encoders[name]
    patch = 14 if "14" in name else 16
    images = torch.randn(1, 3, 4 * patch, 6 * patch)
    network = theirs(encoder)
    tokens = network.forward_intermediates(images, indices=[2, 5, 8, 11], norm=True, intermediates_only=True)
    for (stage, found), level in zip(encoder.feature_maps(images).items(), tokens, strict=True):
        stride = encoder.specs[stage].stride
        size = [-(-side // stride) for side in images.shape[-2:]]
        # Each value is read at the middle of its pixels, by a grid that goes from -1 to 1 over the patches.
        rows, columns = (
            ((torch.arange(n) + 0.5) * stride / side * 2 - 1) for n, side in zip(size, images.shape[-2:], strict=True)
        )
        grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)[None]
        expected = F.grid_sample(level, grid, mode="bilinear", padding_mode="border", align_corners=False)
        inside = size[0] * stride <= images.shape[-2], size[1] * stride <= images.shape[-1]
        last = [n if fits else n - 1 for n, fits in zip(size, inside, strict=True)]
        torch.testing.assert_close(
            found[..., : last[0], : last[1]], expected[..., : last[0], : last[1]], rtol=1e-4, atol=1e-4
        )


@torch.no_grad()
@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("size", [(32, 32), (64, 97), (101, 70), (224, 160)])
def test_any_size_has_maps_of_the_contract(name, size, encoders):
    encoder = encoders[name]
    maps = encoder.feature_maps(torch.randn(1, 3, *size))
    for stage, level in maps.items():
        spec = encoder.specs[stage]
        assert tuple(level.shape) == (1, spec.channels, *(-(-side // spec.stride) for side in size))
    assert [encoder.specs[stage].stride for stage in STAGES] == [4, 8, 16, 32]


@torch.no_grad()
@pytest.mark.parametrize("name", ALL)
def test_saved_loaded_copied_and_pickled_they_are_the_same(name, encoders, tmp_path):
    encoder, images = encoders[name], torch.randn(1, 3, 64, 96)
    loaded = from_pretrained(encoder.save_pretrained(tmp_path / "model"))
    for other in (loaded, copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        assert torch.equal(other(images), encoder(images))
        assert other.config == encoder.config
    assert loaded.half().dtype == torch.float16
    assert loaded.backbone.first_weight.dtype == torch.float16
    timms = timm.create_model(f"local-dir:{tmp_path / 'model'}", pretrained=True).eval()
    sides = getattr(getattr(timms, "patch_embed", None), "img_size", (64, 64))
    images = F.interpolate(images, size=sides)
    torch.testing.assert_close(timms(images), encoder(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [CONVNEXT, VIT])
def test_training_reaches_every_parameter_and_embedding_pictures_works(name, encoders, digits):
    encoder = copy.deepcopy(encoders[name]).train()
    encoder(torch.randn(2, 3, 64, 64)).square().mean().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())
    picture = next((digits / "train" / "0").iterdir())
    assert encoder.embed([picture, picture]).shape == (2, encoder.feature_dim)
    assert encoder.training


@torch.no_grad()
@pytest.mark.parametrize("output_stride", [16, 8])
def test_a_dilated_convnext_is_the_same_on_the_coarser_grid(output_stride, encoders):
    encoder, images = encoders[CONVNEXT], torch.randn(1, 3, 128, 192)
    backbone = DenseBackbone(encoder, output_stride=output_stride).eval()
    coarse, fine = encoder.feature_maps(images), backbone(images)
    for stage, level in fine.items():
        step = encoder.specs[stage].stride // backbone.specs[stage].stride
        assert backbone.specs[stage].stride == min(encoder.specs[stage].stride, output_stride)
        torch.testing.assert_close(level[..., ::step, ::step], coarse[stage], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_dilated_vit_reads_its_tokens_more_finely(encoders):
    backbone = DenseBackbone(encoders[VIT], output_stride=16).eval()
    images = torch.randn(1, 3, 64, 96)
    assert [spec.stride for spec in backbone.specs.values()] == [4, 8, 16, 16]
    tokens = theirs(encoders[VIT]).forward_intermediates(images, indices=1, norm=True, intermediates_only=True)[0]
    torch.testing.assert_close(backbone(images)["c5"], tokens, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "name", ["convnext_atto", "vit_tiny_patch16_224", "vit_small_patch14_dinov2", "vit_small_patch16_dinov3"]
)
def test_from_timm_takes_weights_and_preprocessing(name):
    torch.manual_seed(0)
    network = timm.create_model(name, pretrained=False, num_classes=7).eval()
    encoder, report = convert_timm(network)
    cfg = network.pretrained_cfg
    assert (encoder.preprocessing.crop, encoder.preprocessing.mean) == (cfg["input_size"][-1], tuple(cfg["mean"]))
    assert report.dropped["classifier or projection head"]
    assert len(report.used) == len(encoder.state_dict())
    assert encoder.metadata["timm"]["architecture"] == name
    images = torch.randn(1, 3, *cfg["input_size"][1:])
    with torch.no_grad():
        expected = network.forward_head(network.forward_features(images), pre_logits=True)
        torch.testing.assert_close(encoder(images), expected, rtol=1e-5, atol=1e-5)


def test_another_pooling_than_the_architectures_is_refused():
    network = timm.create_model("vit_tiny_patch16_224", global_pool="avg", num_classes=0)
    with pytest.raises(WeightsError):
        convert_timm(network)


def test_names_and_options_that_do_not_fit():
    assert EncoderConfig(architecture="vit_tiny_patch16").architecture == "vit_tiny_patch16_224"
    with pytest.raises(UnknownArchitectureError, match=r"has no architecture 'vit_smal'.*vit_small"):
        create_encoder("vit_smal")
    with pytest.raises(ConfigError, match="stem, padding and width are a ResNet's"):
        create_encoder("convnext_atto", width=2)
    with pytest.raises(ConfigError, match="zero_init_residual is a ResNet's"):
        create_encoder("convnext_atto", zero_init_residual=True)
