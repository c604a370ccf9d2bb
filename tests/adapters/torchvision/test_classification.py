import pytest
import torch
import torchvision

from sslhsic_transfer import create_encoder
from sslhsic_transfer.adapters.torchvision import Classifier
from tests.contracts import AdapterContract, trained_encoder


class TestClassifier(AdapterContract):
    def build(self, source, **options):
        return Classifier(source, 5, **options)

    def backbone(self, model):
        return model

    def maps(self, model, images):
        return {"c5": model.backbone.forward_stages(images)["c5"]}

    def whole(self, model, images):
        return {"logits": model(images)}

    def loss(self, model):
        return model(torch.randn(2, 3, 64, 96)).square().mean()


@pytest.mark.parametrize("architecture", ["resnet18", "resnet50"])
@torch.no_grad()
def test_torchvisions_own_network_takes_its_weights_and_gives_the_same(architecture):
    classifier = Classifier(trained_encoder(architecture), 7).eval()
    theirs = torchvision.models.get_model(architecture, num_classes=7).eval()
    theirs.load_state_dict(classifier.state_dict())
    images = torch.randn(2, 3, 70, 131)
    torch.testing.assert_close(classifier(images), theirs(images), rtol=1e-4, atol=1e-5)


def test_frozen_whole_it_is_a_linear_probe():
    classifier = Classifier(create_encoder("resnet18"), 3, freeze_at=5).train()
    assert [name for name, p in classifier.named_parameters() if p.requires_grad] == ["fc.weight", "fc.bias"]
    before = classifier.bn1.running_mean.clone()
    classifier(torch.randn(4, 3, 64, 64))
    assert classifier.bn1.running_mean.equal(before)
