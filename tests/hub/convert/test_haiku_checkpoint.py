import collections
import os
import pickle

import numpy as np
import pytest
import torch

from sslhsic_transfer import Encoder, Preprocessing, from_pretrained
from sslhsic_transfer.errors import UnknownArchitectureError, WeightsError
from sslhsic_transfer.hub.convert import convert_byol, convert_haiku
from sslhsic_transfer.hub.convert.resnet_recognition import infer_config
from sslhsic_transfer.models.config import EncoderConfig
from tests.references.haiku_resnet import DEPTHS, forward, random_network

_ByolExperimentState = collections.namedtuple(
    "_ByolExperimentState", "online_params target_params online_state target_state opt_state"
)


def moved(arrays):
    """Make other numbers of the same names, which must not be the ones that are taken."""
    return {name: value + 1 for name, value in arrays.items()} if isinstance(arrays, dict) else arrays


def released(params, state, **kernel):
    """The structure of the released code: the evaluated parameters are the averages, not the online ones."""
    averages = {
        f"exponential_moving_average{place}": {"counter": np.asarray(8, np.int32), "hidden": np.zeros(2, np.float32)}
        for place in ("", "_1")
    }
    other, shifted = ({module: moved(arrays) for module, arrays in part.items()} for part in (params, state))
    kernel_params = {"hsic_loss": {"scale": np.asarray(1.25, np.float32)}} | kernel
    experiment = {"online_params": other, "target_params": other, "online_state": state, "target_state": shifted}
    return {
        "experiment_state": experiment | {"kernel_params": {"hsic_loss": {"scale": np.asarray(9.0, np.float32)}}},
        "ema_state": {"online_params": params, "kernel_params": kernel_params, "ema_params": {}, "ema_state": averages},
    }


def difference(encoder, params, state, depth, size, root=None):
    images = np.random.default_rng(size).normal(size=(2, size, size + 3 - size % 2 * 3, 3)).astype(np.float32)
    expected = forward(params, state, images, root=root or f"res_net{depth}", blocks=DEPTHS[depth][0])
    with torch.no_grad():
        found = encoder(torch.from_numpy(images).permute(0, 3, 1, 2)).double()
    return ((found - expected).norm() / expected.norm()).item()


@pytest.fixture(scope="module")
def resnet50(tmp_path_factory):
    params, state = random_network(50)
    path = tmp_path_factory.mktemp("haiku") / "checkpoint.npy"
    np.save(path, released(params, state))
    return params, state, convert_haiku(path)


@pytest.mark.parametrize("size", [64, 65, 70])
def test_the_released_resnet50_gives_the_reference_features(resnet50, size):
    params, state, (encoder, _) = resnet50
    assert encoder.config == EncoderConfig(architecture="resnet50", padding="same")
    assert difference(encoder, params, state, 50, size) < 1e-5


@pytest.mark.parametrize("size", [64, 65])
def test_a_resnet18_gives_the_reference_features(haiku_network, size, tmp_path):
    np.save(tmp_path / "a.npy", released(*haiku_network))
    encoder, _ = convert_haiku(tmp_path / "a.npy")
    assert difference(encoder, *haiku_network, 18, size) < 1e-5


def test_the_reference_sees_a_wrong_padding(haiku_network, tmp_path):
    """The comparison above means something: with symmetric padding, even inputs differ and odd ones do not."""
    np.save(tmp_path / "a.npy", released(*haiku_network))
    encoder, _ = convert_haiku(tmp_path / "a.npy")
    symmetric = type(encoder)(encoder.config.model_copy(update={"padding": "torch"})).eval()
    symmetric.load_state_dict(encoder.state_dict())
    assert difference(symmetric, *haiku_network, 18, 64) > 1e-2
    assert difference(symmetric, *haiku_network, 18, 65) < 1e-5


def test_what_is_reported_and_kept(resnet50, tmp_path):
    _, _, (encoder, report) = resnet50
    assert len(report.used) == 53 * (1 + 2 + 2 + 1)  # w; scale and offset; mean and variance; counter
    assert report.filled == ()
    assert "ema_state.online_params" in report.layout
    heads = report.dropped["projector, predictor or classifier"]
    assert {name.split("/")[0] for name in heads} == {"projector", "predictor", "classifier"}
    assert "experiment_state.target_params" in report.dropped["other entries of the file"]
    assert "experiment_state.kernel_params" in report.dropped["other entries of the file"]
    assert "ema_state.kernel_params" not in report.dropped["other entries of the file"]
    assert "ema_state.online_params" not in report.dropped["other entries of the file"]
    encoder.save_pretrained(tmp_path / "model")
    loaded = from_pretrained(tmp_path / "model")
    assert loaded.metadata["kernel_params"] == {"hsic_loss/scale": 1.25}
    assert loaded.config.padding == "same"
    preprocessing = Preprocessing(resize=256, crop=224, interpolation="bicubic", antialias=False, style="byol-jax")
    assert loaded.preprocessing == preprocessing
    assert loaded.bn1.num_batches_tracked == 3


@pytest.mark.parametrize(("name", "width"), [("resnet50", 2), ("resnet50", 4), ("resnet200", 2), ("resnet152", 1)])
def test_depth_and_width_by_the_shapes(name, width):
    config = EncoderConfig(architecture=name, width=width, padding="same")
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in Encoder(config).state_dict().items()}
    assert infer_config(shapes, "a.npy", padding="same") == config


def test_a_wide_network(tmp_path):
    params, state = random_network(18, width=2, first_shortcut=False)
    np.save(tmp_path / "a.npy", released(params, state))
    encoder, _ = convert_haiku(tmp_path / "a.npy")
    assert encoder.config == EncoderConfig(architecture="resnet18", padding="same", width=2)
    assert difference(encoder, params, state, 18, 32) < 1e-5


@pytest.mark.parametrize("kind", ["dill", "pickle", "dictionary"])
def test_byols_checkpoints(haiku_network, kind, tmp_path):
    params, state = haiku_network
    rest = {"step": 1000, "rng": np.zeros(2, np.uint32)}
    experiment = _ByolExperimentState(params, {}, state, {}, [(), {"mu": {}}])
    path = tmp_path / "pretrain_res18.pkl"
    if kind == "dill":
        dill = pytest.importorskip("dill")
        path.write_bytes(dill.dumps({"experiment_state": experiment} | rest, protocol=2))
    elif kind == "dictionary":
        path.write_bytes(pickle.dumps({"experiment_state": experiment._asdict()} | rest))
    else:  # the class by its name in BYOL's code, which is not here
        content = pickle.dumps({"experiment_state": experiment} | rest, 2)
        path.write_bytes(content.replace(f"c{__name__}\n".encode(), b"cbyol.byol_experiment\n"))
    encoder, report = convert_byol(path)
    assert difference(encoder, params, state, 18, 64) < 1e-5
    assert "BYOL: experiment_state.online_params" in report.layout
    others = report.dropped["other entries of the file"]
    assert set(others) == {
        *(
            "experiment_state.target_params",
            "experiment_state.target_state",
            "experiment_state.opt_state",
            "step",
            "rng",
        )
    }
    with pytest.raises(WeightsError, match="sslhsic convert byol"):
        convert_haiku(path)


def test_byols_basic_blocks_are_refused_with_the_reason(tmp_path):
    """BYOL's ResNet-18 has a convolution in its very first shortcut, which torchvision's has not."""
    np.save(tmp_path / "a.npy", released(*random_network(18)))
    with pytest.raises(WeightsError, match=r"layer1\.0\.downsample[\s\S]*a convolution in its first shortcut"):
        convert_haiku(tmp_path / "a.npy")


@pytest.fixture
def edited(haiku_network, tmp_path):
    """Convert a checkpoint after a change of its parameters and state."""

    def convert(change):
        params, state = ({module: dict(arrays) for module, arrays in part.items()} for part in haiku_network)
        change(params, state)
        np.save(tmp_path / "a.npy", released(params, state))
        return convert_haiku(tmp_path / "a.npy")

    return convert


FIRST = "res_net18/~/block_group_0/~/block_0/~"
MISTAKES = {
    "a missing convolution": (lambda p, s: p.pop(f"{FIRST}/conv_1"), r"1 missing: layer1\.0\.conv2\.weight"),
    "a bias": (lambda p, s: p[f"{FIRST}/conv_0"].update(scale=np.zeros(64)), r"unknown use: .*conv_0/scale"),
    "a missing average": (
        lambda p, s: s[f"{FIRST}/batchnorm_0/~/var_ema"].pop("average"),
        r"layer1\.0\.bn1\.running_var",
    ),
    "an unknown array": (lambda p, s: p[f"{FIRST}/conv_0"].update(b=np.zeros(64)), r"unknown use: .*conv_0/b"),
    "an unknown module": (lambda p, s: p.update({"decoder": {"w": np.zeros(3)}}), "unknown use: decoder/w"),
    "an unknown statistic": (
        lambda p, s: s.update({f"{FIRST}/x/~/y": {"average": np.zeros(3)}}),
        "unknown use: .*/x/~/y",
    ),
    "another shape": (
        lambda p, s: p[f"{FIRST}/conv_0"].update(w=np.zeros((1, 1, 64, 64), np.float32)),
        r"layer1\.0\.conv1\.weight \(64, 64, 1, 1\) instead of \(64, 64, 3, 3\)",
    ),
    "a flat convolution": (
        lambda p, s: p[f"{FIRST}/conv_0"].update(w=np.zeros(3)),
        r"shape \(3,\); expected a convolution",
    ),
    "a scale of many axes": (
        lambda p, s: p[f"{FIRST}/batchnorm_0"].update(scale=np.zeros((2, 1, 1, 64))),
        r"\(2, 1, 1, 64\); expected one number a channel",
    ),
    "no array": (lambda p, s: p[f"{FIRST}/batchnorm_0"].update(scale=3), "scale is a int; expected an array"),
    "no mapping": (lambda p, s: p.update({FIRST: 3}), "expected module → name → array"),
    "no network": (lambda p, s: p.pop("res_net18/~/initial_conv"), "holds 0 ResNets in haiku's names"),
    "two networks": (lambda p, s: p.update({"other/~/initial_conv": {}}), "holds 2 ResNets"),
    "a ResNet v2": (lambda p, s: p.pop("res_net18/~/initial_batchnorm"), "a ResNet v2"),
    "not a number": (
        lambda p, s: p[f"{FIRST}/batchnorm_0"].update(scale=np.full((1, 1, 1, 64), np.nan)),
        r"NaN or infinite values:\n.*layer1\.0\.bn1\.weight",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_checkpoint_that_does_not_fit_says_where(name, edited):
    change, message = MISTAKES[name]
    with pytest.raises(WeightsError, match=message):
        edited(change)


def test_another_depth_is_refused(edited):
    def change(params, state):
        for part in (params, state):
            for module in [module for module in part if "block_group_3/~/block_1" in module]:
                del part[module]

    with pytest.raises(UnknownArchitectureError, match=r"has BasicBlock blocks \(2, 2, 2, 1\)"):
        edited(change)


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        ([1, 2], "expected ema_state.kernel_params, but the file has no names"),
        ({"a": 1}, "but the file has a. Is it a checkpoint of this kind"),
        (
            {"ema_state": {"online_params": {}}, "experiment_state": {}},
            "kernel_params, but ema_state has online_params",
        ),
        ({"ema_state": {"online_params": 3, "kernel_params": {}}}, "ema_state.online_params is a int"),
    ],
)
def test_other_checkpoints_say_what_they_are(checkpoint, message, tmp_path):
    np.save(tmp_path / "a.npy", np.array(checkpoint, dtype=object) if isinstance(checkpoint, dict) else np.zeros(2))
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(checkpoint))
    with pytest.raises(WeightsError, match=message):
        convert_haiku(tmp_path / "a.pkl")


class Hostile:
    def __reduce__(self):
        return os.system, ("touch MARKER",)


def test_no_code_runs(haiku_network, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoint = released(*haiku_network)
    checkpoint["experiment_state"]["opt_state"] = Hostile()
    np.save(tmp_path / "a.npy", checkpoint)
    for convert in (convert_haiku, convert_byol):
        with pytest.raises(WeightsError, match=r"asks for \w+\.system"):
            convert(tmp_path / "a.npy")
    assert not (tmp_path / "MARKER").exists()
