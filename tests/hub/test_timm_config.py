import pytest
import timm
import torch

from sslhsic_transfer import Preprocessing, create_encoder, from_pretrained


@pytest.mark.parametrize("architecture", ["resnet18", "resnet50"])
def test_timm_loads_the_same_folder_with_the_same_features(architecture, tmp_path):
    encoder = create_encoder(architecture).eval()
    encoder.save_pretrained(tmp_path)
    images = torch.randn(2, 3, 96, 64)
    theirs = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    maps = timm.create_model(f"local-dir:{tmp_path}", pretrained=True, features_only=True).eval()
    with torch.no_grad():
        torch.testing.assert_close(theirs(images), encoder(images), rtol=1e-5, atol=1e-5)
        for found, expected in zip(maps(images)[1:], encoder.feature_maps(images).values(), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_timm_prepares_pictures_alike(model_folder):
    theirs = timm.create_model(f"local-dir:{model_folder}", pretrained=True)
    settings = timm.data.resolve_model_data_config(theirs)
    ours = from_pretrained(model_folder).preprocessing
    assert tuple(settings["input_size"]) == (3, ours.crop, ours.crop)
    assert (tuple(settings["mean"]), tuple(settings["std"])) == (ours.mean, ours.std)
    assert settings["interpolation"] == ours.interpolation
    assert int(ours.crop / settings["crop_pct"]) == ours.resize


@pytest.mark.parametrize(
    "options", [{"stem": "small"}, {"preprocessing": Preprocessing(antialias=False, style="byol-jax")}]
)
def test_says_nothing_to_timm_of_what_it_cannot_do(options, tmp_path):
    """It has no small stem, and cannot crop before it resizes."""
    create_encoder("resnet18", **options).save_pretrained(tmp_path)
    assert '"num_classes"' not in (tmp_path / "config.json").read_text()
