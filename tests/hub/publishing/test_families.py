"""ConvNeXts and Vision Transformers, published, loaded by name, and taken from timm's repositories."""

import pytest
import timm
import torch

from sslhsic_transfer import Encoder, Preprocessing, create_encoder, from_pretrained
from sslhsic_transfer.results import load_results
from tests.hub.conftest import FACTS

REPO = "tester/family"


@torch.no_grad()
@pytest.mark.usefixtures("no_example")
@pytest.mark.parametrize("name", ["convnext_atto", "vit_tiny_patch16"])
def test_published_loaded_by_name_by_timm_and_back(name, hub, publishable, tmp_path):
    torch.manual_seed(0)
    encoder = create_encoder(name, preprocessing=Preprocessing.for_size(224)).eval()
    encoder = from_pretrained(encoder.save_pretrained(tmp_path / "other"))
    encoder.metadata = dict(FACTS)
    results = [
        result.model_copy(update={"weights_sha256": result.weights_sha256 and encoder.weights_sha256})
        for result in load_results(publishable / "results.json")
    ]
    encoder.push_to_hub(REPO, results)
    assert encoder.config.architecture in hub.files(REPO)["README.md"].decode()
    images = torch.randn(2, 3, 224, 224)
    expected = encoder(images)
    assert torch.equal(from_pretrained(REPO)(images), expected)
    theirs = timm.create_model(f"hf_hub:{REPO}", pretrained=True, num_classes=0).eval()
    torch.testing.assert_close(theirs(images), expected, rtol=1e-5, atol=1e-5)
    back = Encoder.from_timm(f"hf_hub:{REPO}", pretrained=True)
    torch.testing.assert_close(back(images), expected, rtol=1e-5, atol=1e-5)
    assert back.preprocessing == encoder.preprocessing
    assert back.config == encoder.config
