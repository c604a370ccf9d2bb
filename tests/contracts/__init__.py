"""The promises of every adapter, written once: a test class of each framework inherits them."""

import pytest
import torch
from torch import nn

from sslhsic_transfer import Encoder, create_encoder
from sslhsic_transfer.errors import ModelNotFoundError, WeightsError
from sslhsic_transfer.models.backbone import PARTS, Backbone
from tests.fake_cuda import CUDA, fake_cuda


def trained_encoder(architecture: str) -> Encoder:
    """An encoder in eval mode, with statistics that are not the initial ones."""
    torch.manual_seed(0)
    encoder = create_encoder(architecture)
    encoder(torch.randn(4, 3, 64, 64))
    return encoder.eval()


class AdapterContract:
    """Inherit, and say how the framework's object is built and what its backbone gives."""

    def build(self, source, **options) -> nn.Module:
        """Build the framework's own object over an encoder or a name."""
        raise NotImplementedError

    def backbone(self, model: nn.Module) -> nn.Module:
        """Return the part of it that holds the encoder's weights under torchvision's names."""
        raise NotImplementedError

    def network(self, model: nn.Module) -> Backbone:
        """The backbone in it, which tells the names of its parts."""
        return self.backbone(model).backbone

    def still(self, model: nn.Module, freeze_at: int) -> tuple[str, ...]:
        """Return the beginnings of the names of the parameters that do not train."""
        network, pooled = self.network(model), getattr(self.backbone(model), "pooled", False)
        parts = [name for part in PARTS[:freeze_at] for name in network.part_names[part]]
        return tuple(f"{name}." for name in (*parts, *(() if pooled else network.head_names)))

    def maps(self, model: nn.Module, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Stage -> feature map, before any head or pyramid."""
        raise NotImplementedError

    def whole(self, model: nn.Module, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the heads' outputs; nothing for detectors, whose shapes depend on the numbers in the pictures."""
        return {}

    def loss(self, model: nn.Module) -> torch.Tensor:
        """Compute a loss that reaches every part of the model which should train."""
        raise NotImplementedError

    def save(self, model: nn.Module, path) -> None:
        """Save a model as the framework does."""
        torch.save(model.state_dict(), path)

    def load(self, model: nn.Module, path) -> None:
        """Load a model as the framework does."""
        model.load_state_dict(torch.load(path))

    @pytest.fixture(scope="class", params=["resnet18", "resnet50", "convnext_atto", "vit_tiny_patch16"])
    def encoder(self, request):
        return trained_encoder(request.param)

    @torch.no_grad()
    @pytest.mark.parametrize("size", [(64, 64), (97, 70)])
    def test_feature_maps_are_the_encoders(self, encoder, size):
        model = self.build(encoder).eval()
        images = torch.randn(2, 3, *size)
        maps = self.maps(model, images)
        assert maps
        for stage, found in maps.items():
            torch.testing.assert_close(found, encoder.feature_maps(images)[stage], rtol=1e-5, atol=1e-5)

    @torch.no_grad()
    def test_nothing_pins_a_device(self, encoder):
        model = self.build(encoder).train()
        with fake_cuda():
            model.to(CUDA)
            images = torch.empty(2, 3, 64, 96, device=CUDA)
            found = {"maps": self.maps(model, images), "whole": self.whole(model, images)}
        assert found["maps"]
        assert {level.device for outputs in found.values() for level in outputs.values()} == {CUDA}
        assert {tensor.device for tensor in model.state_dict().values()} == {CUDA}

    def test_every_parameter_found_its_place(self, encoder):
        report = self.backbone(self.build(encoder)).report
        assert report.complete
        assert len(report.matched) + len(report.renamed) == len(encoder.state_dict())

    def test_a_name_does_as_well(self, model_folder):
        report = self.backbone(self.build(str(model_folder))).report
        assert report.sha256 is not None
        assert str(model_folder) in str(report)

    def test_gradients_reach_what_trains_and_nothing_else(self, encoder):
        model = self.build(encoder, freeze_at=2).train()
        self.loss(model).backward()
        for name, parameter in self.backbone(model).named_parameters():
            assert (parameter.grad is None) == f"{name}.".startswith(self.still(model, freeze_at=2)), name
        for name, parameter in model.named_parameters():
            assert (parameter.grad is not None) == parameter.requires_grad, name

    def test_frozen_parts_and_fixed_statistics_do_what_they_say(self, encoder):
        model = self.build(encoder, freeze_at=1, norm_eval=True)
        for _ in range(2):
            model.train()
            norms = [m for m in self.backbone(model).modules() if isinstance(m, nn.BatchNorm2d)]
            assert norms or not encoder.config.architecture.startswith("resnet")
            assert not any(norm.training for norm in norms)
            model.eval()
        assert not self.network(model).first_weight.requires_grad
        free = self.build(encoder).train()
        for name, parameter in self.backbone(free).named_parameters():
            assert parameter.requires_grad != f"{name}.".startswith(self.still(free, freeze_at=0) or "-"), name
        assert all(norm.training for norm in self.backbone(free).modules() if isinstance(norm, nn.BatchNorm2d))

    def test_the_frameworks_own_save_and_load(self, encoder, tmp_path):
        model = self.build(encoder).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.01)
        self.save(model, tmp_path / "model.pth")
        other = self.build(encoder).eval()
        self.load(other, tmp_path / "model.pth")
        assert all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())

    def test_what_does_not_fit_raises(self, own_model):
        (own_model / "model.safetensors").write_bytes(b"")
        with pytest.raises(WeightsError, match=r"model\.safetensors \(0 bytes\) is not a whole safetensors file"):
            self.build(str(own_model))
        with pytest.raises(ModelNotFoundError, match="No model is called 'no-such-model'"):
            self.build("no-such-model")
