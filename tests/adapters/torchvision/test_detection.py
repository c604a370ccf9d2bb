import pytest
import torch

from sslhsic_transfer.adapters.torchvision import faster_rcnn, mask_rcnn, retinanet
from tests.contracts import AdapterContract, trained_encoder

SMALL = {"min_size": 96, "max_size": 128}


def targets(masks=False):
    box = {"boxes": torch.tensor([[8.0, 8.0, 60.0, 70.0]]), "labels": torch.tensor([1])}
    return [box | ({"masks": torch.ones(1, 96, 128, dtype=torch.uint8)} if masks else {}) for _ in range(2)]


class TorchvisionDetector(AdapterContract):
    masks = False

    def backbone(self, model):
        return model.backbone.body

    def maps(self, model, images):
        return model.backbone.body(images)

    def loss(self, model):
        torch.manual_seed(0)
        losses = model([torch.rand(3, 96, 128), torch.rand(3, 96, 128)], targets(self.masks))
        return sum(losses.values())


class TestFasterRCNN(TorchvisionDetector):
    def build(self, source, **options):
        return faster_rcnn(source, 3, **SMALL, **options)


class TestMaskRCNN(TorchvisionDetector):
    masks = True

    def build(self, source, **options):
        return mask_rcnn(source, 3, **SMALL, **options)


class TestRetinaNet(TorchvisionDetector):
    def build(self, source, **options):
        return retinanet(source, 3, **SMALL, **options)


@torch.no_grad()
@pytest.mark.parametrize("make", [faster_rcnn, mask_rcnn, retinanet])
def test_detects_in_pictures_of_any_size(make):
    model = make(trained_encoder("resnet18"), 3, **SMALL).eval()
    found = model([torch.rand(3, 50, 90), torch.rand(3, 120, 77)])
    assert len(found) == 2
    assert {"boxes", "labels", "scores"} <= set(found[0])


def test_normalizes_by_the_encoders_numbers():
    encoder = trained_encoder("resnet18")
    encoder.preprocessing = encoder.preprocessing.model_copy(update={"mean": (0.1, 0.2, 0.3), "std": (0.5, 0.6, 0.7)})
    transform = faster_rcnn(encoder, 2).transform
    assert (transform.image_mean, transform.image_std) == ([0.1, 0.2, 0.3], [0.5, 0.6, 0.7])


@pytest.mark.parametrize("make", [faster_rcnn, mask_rcnn, retinanet])
def test_boxes_are_float32_under_autocast(make):
    model = make(trained_encoder("resnet18"), 3, **SMALL).eval()
    pictures = [torch.rand(3, 96, 128)]
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        (found,) = model(pictures)
        if make is retinanet:
            features = list(model.backbone(torch.stack(pictures)).values())
            assert {output.dtype for output in model.head(features).values()} == {torch.float32}
    assert found["boxes"].dtype == found["scores"].dtype == torch.float32


def test_a_box_smaller_than_a_pixel_far_from_the_corner_trains_under_autocast():
    """In bfloat16 it would have no width, and a loss that is not a number."""
    torch.manual_seed(0)
    model = faster_rcnn(trained_encoder("resnet18"), 3, min_size=400, max_size=400)
    box = {"boxes": torch.tensor([[390.1, 390.1, 390.5, 390.5]]), "labels": torch.tensor([1])}
    with torch.autocast("cpu", torch.bfloat16):
        losses = model([torch.rand(3, 400, 400)], [box])
    assert all(loss.isfinite() for loss in losses.values()), losses
