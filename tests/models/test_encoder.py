import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch._subclasses.fake_tensor import FakeTensorMode

from sslhsic_transfer import Encoder, Preprocessing, create_encoder
from sslhsic_transfer.errors import ConfigError, ImageError, InputError, UnknownArchitectureError

ARCHITECTURES = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    torch.manual_seed(0)
    return create_encoder("resnet18", preprocessing=Preprocessing.for_size(64)).eval()


@pytest.mark.parametrize("width", [1, 2, 4])
@pytest.mark.parametrize("stem", ["imagenet", "small"])
@pytest.mark.parametrize("padding", ["torch", "same"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_specs_are_the_shapes_of_the_maps_for_every_network(architecture, padding, stem, width):
    """On fake CUDA tensors, which also shows that no path pins a device."""
    with FakeTensorMode(), torch.device("cuda:0"):
        encoder = create_encoder(architecture, stem=stem, padding=padding, width=width).eval()
        images = torch.randn(2, 3, 64, 97)
        maps, pooled = encoder.feature_maps(images), encoder(images)
    assert list(maps) == ["c2", "c3", "c4", "c5"]
    for stage, found in maps.items():
        spec = encoder.specs[stage]
        assert found.shape == (2, spec.channels, -(-64 // spec.stride), -(-97 // spec.stride))
        assert found.device.type == "cuda"
    assert pooled.shape == (2, encoder.feature_dim)
    assert encoder.feature_dim == encoder.specs["c5"].channels


@settings(max_examples=12, deadline=None)
@given(height=st.integers(32, 90), width=st.integers(32, 90), batch=st.integers(1, 3))
def test_any_size_from_32_up(encoder, height, width, batch):
    images = torch.randn(batch, 3, height, width)
    with torch.no_grad():
        maps = encoder.feature_maps(images)
        torch.testing.assert_close(maps["c5"].mean(dim=(2, 3)), encoder(images))
    for stage, found in maps.items():
        spec = encoder.specs[stage]
        assert found.shape == (batch, spec.channels, -(-height // spec.stride), -(-width // spec.stride))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_computes_in_the_dtype_of_its_weights(encoder, dtype):
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        found = copy.deepcopy(encoder).to(dtype)(images.to(dtype))
        cosine = torch.cosine_similarity(found.float(), encoder(images))
    assert found.dtype == dtype
    assert cosine.min() > 0.99


def test_asks_only_for_the_stages_it_needs(encoder, monkeypatch):
    monkeypatch.setattr(encoder.layer4, "forward", lambda x: pytest.fail("c5 was computed"))
    with torch.no_grad():
        assert list(encoder.feature_maps(torch.randn(1, 3, 64, 64), stages=("c4", "c2"))) == ["c4", "c2"]


def test_every_parameter_gets_a_gradient(encoder):
    trained = copy.deepcopy(encoder).train()
    trained(torch.randn(2, 3, 64, 64)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in trained.parameters())


def test_exports_as_one_graph_with_dynamic_shapes(encoder):
    """ONNX and torch.compile need this: no look at values, no branch on sizes."""
    dynamic = {axis: torch.export.Dim(name, min=low) for axis, name, low in ((0, "b", 1), (2, "h", 33), (3, "w", 33))}
    exported = torch.export.export(encoder, (torch.randn(2, 3, 64, 64),), dynamic_shapes=(dynamic,)).module()
    images = torch.randn(3, 3, 75, 50)
    with torch.no_grad():
        torch.testing.assert_close(exported(images), encoder(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("images", "fix"),
    [
        (torch.randn(2, 1, 64, 64), "three channels"),
        (torch.randn(2, 4, 64, 64), "three channels"),
        (torch.randn(3, 64, 64), r"images\[None\]"),
        (torch.randn(2, 64, 64, 3), r"permute\(0, 3, 1, 2\)"),
        (torch.randn(2, 3, 31, 64), "32 × 32"),
        (torch.randn(2, 3, 64, 8), "32 × 32"),
        (torch.randint(0, 255, (2, 3, 64, 64), dtype=torch.uint8), "preprocessing.transform"),
        (torch.randn(2, 3, 64, 64).double(), r"images.to\(torch.float32\)"),
        (torch.full((2, 3, 64, 64), torch.nan), "24576 NaN"),
        (torch.randn(2, 3, 64, 64).index_fill(3, torch.tensor([5]), torch.inf), "384 NaN or infinite"),
        (np.zeros((2, 3, 64, 64), np.float32), "encoder.embed"),
        (torch.randn(2, 3, 64, 64, device="meta"), "on meta"),
    ],
)
@pytest.mark.parametrize("method", ["forward", "feature_maps"])
def test_refuses_what_it_cannot_take_and_says_the_fix(encoder, method, images, fix):
    with pytest.raises(InputError, match=fix):
        getattr(encoder, method)(images)


def test_tells_overflow_from_bad_pictures(encoder):
    half = copy.deepcopy(encoder).half()
    with pytest.raises(InputError, match="overflow"):
        half(torch.full((1, 3, 64, 64), 6e4, dtype=torch.float16))


def test_refuses_unknown_stages(encoder):
    for stages in (("c6",), ()):
        with pytest.raises(InputError, match="c2, c3, c4, c5"):
            encoder.feature_maps(torch.randn(1, 3, 64, 64), stages=stages)


def test_autocast_takes_float32_images(encoder):
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert encoder(torch.randn(1, 3, 64, 64)).isfinite().all()


def test_embed_gives_the_same_for_every_form_of_a_picture(encoder, digits):
    path = next((digits / "test" / "1").iterdir())
    image = Image.open(path)
    array = np.asarray(image)
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
    forms = [path, str(path), image, array, tensor, tensor.float() / 255]
    embeddings = encoder.embed(forms)
    assert embeddings.shape == (6, 512)
    assert embeddings.dtype == torch.float32
    for embedding in embeddings:
        torch.testing.assert_close(embedding, embeddings[0], rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        by_hand = encoder(encoder.preprocessing.transform()(image)[None])
    torch.testing.assert_close(embeddings[:1], by_hand, rtol=1e-5, atol=1e-5)


def test_embed_takes_one_many_none_and_batches(encoder, digits):
    paths = sorted((digits / "test" / "0").iterdir())[:5]
    expected = encoder.embed(paths, batch_size=2)
    torch.testing.assert_close(encoder.embed(paths, batch_size=64), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(encoder.embed(path for path in paths), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(encoder.embed(paths[0]), expected[:1], rtol=1e-5, atol=1e-5)
    arrays = np.stack([np.asarray(Image.open(path)) for path in paths])
    torch.testing.assert_close(encoder.embed(arrays), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(encoder.embed(arrays[0]), expected[:1], rtol=1e-5, atol=1e-5)
    assert encoder.embed([]).shape == (0, 512)


def test_what_embed_gives_can_be_trained_on(encoder, digits):
    embeddings = encoder.embed(sorted((digits / "test" / "0").iterdir())[:3], batch_size=2)
    head = torch.nn.Linear(512, 2)
    head(embeddings).sum().backward()
    assert head.weight.grad.norm() > 0
    embeddings += 1
    assert not embeddings.is_inference()


def test_embed_uses_eval_mode_and_restores_each_module(encoder, digits):
    network = copy.deepcopy(encoder).train()
    network.bn1.eval()
    paths = sorted((digits / "test" / "0").iterdir())[:3]
    torch.testing.assert_close(network.embed(paths), encoder.embed(paths))
    assert network.training
    assert network.layer1.training
    assert not network.bn1.training


@pytest.mark.parametrize(
    ("picture", "found"),
    [
        ("missing.jpg", "Picture 1: There is no picture at missing.jpg"),
        (np.zeros((3, 64, 64), np.uint8), r"shape \(3, 64, 64\)"),
        (np.zeros((64, 64, 3), np.float32), "float32"),
        (torch.zeros(4, 64, 64, dtype=torch.uint8), r"\(4, 64, 64\)"),
        (torch.full((3, 64, 64), 2.0), r"expected \[0, 1\]"),
        (torch.full((3, 64, 64), torch.nan), "nan"),
        (torch.zeros(3, 64, 64, dtype=torch.int32), "int32"),
        (object(), "type object"),
    ],
)
def test_embed_names_the_picture_it_cannot_use(encoder, picture, found):
    with pytest.raises(ImageError, match=found):
        encoder.embed([Image.new("RGB", (64, 64)), picture])


def test_embed_refuses_a_batch_size_of_zero(encoder):
    with pytest.raises(InputError, match="batch_size=0"):
        encoder.embed([], batch_size=0)


def test_unknown_architecture_names_the_nearest():
    with pytest.raises(UnknownArchitectureError, match="Did you mean 'resnet50'"):
        create_encoder("resnet-50")


@pytest.mark.parametrize("setting", [{"stem": "tiny"}, {"padding": "valid"}, {"width": 3}])
def test_other_settings_are_checked(setting):
    (name,) = setting
    with pytest.raises(ConfigError, match=name):
        create_encoder("resnet18", **setting)


def test_state_dict_copies_and_moves_like_any_module(encoder):
    twin = create_encoder("resnet18", preprocessing=encoder.preprocessing).eval()
    twin.load_state_dict(encoder.state_dict())
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(twin.to(memory_format=torch.channels_last)(images).argmax(1), encoder(images).argmax(1))


def test_its_first_line_says_what_it_is(model_folder):
    encoder = Encoder.from_pretrained(model_folder)
    assert f"resnet18: 64 px pictures to 512 numbers, from '{model_folder}'" in repr(encoder)


def test_it_can_be_mapped_over(encoder):
    images = torch.randn(2, 3, 64, 64)
    parameters, buffers = dict(encoder.named_parameters()), dict(encoder.named_buffers())

    def embed(image):
        return torch.func.functional_call(encoder, (parameters, buffers), (image[None],))[0]

    with torch.no_grad():
        torch.testing.assert_close(torch.func.vmap(embed)(images), encoder(images), rtol=1e-4, atol=1e-4)


def test_one_stage_is_a_sequence_too(encoder):
    with pytest.raises(InputError, match=r"expected a sequence, such as \('c4',\)"):
        encoder.feature_maps(torch.randn(1, 3, 64, 64), stages="c4")


def test_what_is_no_preprocessing_is_refused():
    with pytest.raises(ConfigError, match=r"Got a dict as preprocessing; expected a Preprocessing, such as"):
        create_encoder("resnet18", preprocessing={"crop": 64})


def test_one_that_was_pickled_where_its_class_was_before_is_the_public_class(encoder):
    now, then = b"csslhsic_transfer.hub.encoder\nEncoder\n", b"csslhsic_transfer.models.encoder\nEncoder\n"
    pickled = pickle.dumps(encoder, protocol=2)
    assert now in pickled
    loaded = pickle.loads(pickled.replace(now, then))
    assert type(loaded) is Encoder
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(loaded(images), encoder(images), rtol=0, atol=0)


def test_a_subclass_has_the_methods_and_is_pickled_by_its_own_name(encoder, tmp_path):
    assert isinstance(own := Own(encoder.config, encoder.preprocessing).eval(), Encoder)
    assert type(pickle.loads(pickle.dumps(own))) is Own
    assert type(Own.from_pretrained(own.save_pretrained(tmp_path / "own"))) is Encoder


class Own(Encoder):
    pass


def test_whoever_makes_or_loads_one_gets_the_public_class(encoder, tmp_path):
    from sslhsic_transfer import from_pretrained, models
    from sslhsic_transfer.hub import load_folder
    from sslhsic_transfer.hub.convert import convert_torchvision
    from sslhsic_transfer.models import encoder as former

    folder = encoder.save_pretrained(tmp_path / "model")
    found = [
        *(encoder, copy.deepcopy(encoder), from_pretrained(folder), load_folder(folder)),
        *(Encoder.from_pretrained(folder), Encoder.from_torchvision("resnet18", weights=None)),
        convert_torchvision("resnet18", None).encoder,
    ]
    assert {type(one) for one in found} == {Encoder} == {models.Encoder, former.Encoder}
    assert former.create_encoder is create_encoder
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        former.Nothing  # noqa: B018
