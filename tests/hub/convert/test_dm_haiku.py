"""Parity with dm-haiku itself; needs the extra ``haiku``, which `make test` does not install.

The network is built of haiku's own blocks with the arguments of BYOL's code, trained a little so that its statistics
are its own, averaged by haiku's own moving average and saved by NumPy in the structure of the released code.
"""

import pickle

import numpy as np
import pytest
import torch

jax = pytest.importorskip("jax", reason="pip install 'sslhsic-transfer[haiku]'")
hk = pytest.importorskip("haiku", reason="pip install 'sslhsic-transfer[haiku]'")

from sslhsic_transfer.hub.convert import convert_byol, convert_haiku  # noqa: E402
from tests.references.haiku_resnet import forward as reference  # noqa: E402

jnp = jax.numpy
BN = {"decay_rate": 0.9, "eps": 1e-5}


class ResNet50(hk.nets.ResNet50):
    """A ResNet-50 without logits, as in BYOL's and SSL-HSIC's code."""

    def __call__(self, images, is_training):
        x = jax.nn.relu(self.initial_batchnorm(self.initial_conv(images), is_training, False))
        x = hk.max_pool(x, (1, 3, 3, 1), (1, 2, 2, 1), "SAME")
        for group in self.block_groups:
            x = group(x, is_training, False)
        return x.mean((1, 2))


class Head(hk.Module):
    """A head beside the network; its arrays must be dropped."""

    def __call__(self, features, is_training):
        hidden = hk.BatchNorm(True, True, 0.9)(hk.Linear(8)(features), is_training)
        return hk.Linear(4, with_bias=False)(jax.nn.relu(hidden))


def outputs(images, is_training):
    features = ResNet50(num_classes=1, bn_config=BN)(images, is_training)
    prediction = Head("predictor")(Head("projector")(features, is_training), is_training)
    return features, prediction, hk.Linear(4, name="classifier")(features)


@pytest.fixture(scope="module")
def trained():
    """The network, its averaged parameters and its statistics."""
    network = hk.without_apply_rng(hk.transform_with_state(outputs))
    key = jax.random.PRNGKey(0)
    images = jax.random.normal(key, (4, 48, 48, 3))
    params, state = network.init(key, images, True)
    noise = np.random.default_rng(0)

    def move(value):  # haiku starts the last scale of each block at zero, which would hide all that comes before
        return value + (0.05 + 0.3 * (value.ndim == 4 and value.shape[0] == 1 == value.shape[1])) * jnp.asarray(
            noise.normal(size=value.shape) * np.sqrt(2 / max(np.prod(value.shape[:-1]), 1)), value.dtype
        )

    averaging = hk.without_apply_rng(
        hk.transform_with_state(
            lambda tree: jax.tree_util.tree_map(lambda x: hk.ExponentialMovingAverage(0.999)(x), tree)
        )
    )
    ema_params, ema_state = averaging.init(key, params)
    for _ in range(3):
        params = jax.tree_util.tree_map(move, params)
        _, state = network.apply(params, state, images, True)
        average, ema_state = averaging.apply(ema_params, ema_state, params)
    return network, params, average, state


def relative(encoder, network, params, state, size):
    images = np.random.default_rng(size).normal(size=(2, size, size, 3)).astype(np.float32)
    (expected, *_), _ = network.apply(params, state, images, False)
    with torch.no_grad():
        found = encoder(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()
    again = reference(
        {module: {name: np.asarray(value) for name, value in arrays.items()} for module, arrays in params.items()},
        {module: {name: np.asarray(value) for name, value in arrays.items()} for module, arrays in state.items()},
        images,
        root="res_net50",
        blocks=(3, 4, 6, 3),
    ).numpy()
    norm = np.linalg.norm(np.asarray(expected))
    return np.linalg.norm(found - expected) / norm, np.linalg.norm(again - expected) / norm


@pytest.mark.parametrize("size", [64, 65, 70])
@pytest.mark.parametrize("kind", ["dictionaries", "haiku's mappings", "BYOL, arrays of JAX"])
def test_the_encoder_gives_haikus_features(trained, kind, size, tmp_path, record_property):
    network, params, average, state = trained
    if kind == "BYOL, arrays of JAX":
        content = {
            "experiment_state": {"online_params": average, "online_state": state},
            "step": 3,
            "rng": jnp.zeros(2),
        }
        (tmp_path / "pretrain.pkl").write_bytes(pickle.dumps(content, 2))
        encoder, _ = convert_byol(tmp_path / "pretrain.pkl")
    else:
        wrap = hk.data_structures.to_immutable_dict if kind == "haiku's mappings" else dict
        to_numpy = lambda tree: wrap(jax.tree_util.tree_map(np.asarray, tree))  # noqa: E731
        experiment = {"online_params": to_numpy(params), "online_state": to_numpy(state), "kernel_params": {}}
        ema = {"online_params": to_numpy(average), "kernel_params": {"hsic_loss": {"scale": np.float32(1.5)}}}
        np.save(tmp_path / "checkpoint.npy", {"experiment_state": experiment, "ema_state": ema})
        encoder, _ = convert_haiku(tmp_path / "checkpoint.npy")
        assert encoder.metadata["kernel_params"] == {"hsic_loss/scale": 1.5}
    ours, of_the_reference = relative(encoder, network, average, state, size)
    record_property("relative_difference", float(ours))
    print(f"{kind}, {size} pixels: encoder {ours:.2e}, reference {of_the_reference:.2e}")
    assert ours < 1e-4
    assert of_the_reference < 1e-4
