"""Projector, predictor, target network and kernel scale of JAX checkpoints, to the value."""

import pickle

import numpy as np
import pytest
import torch

from sslhsic_transfer import from_pretrained
from sslhsic_transfer.errors import FingerprintError, ModelNotFoundError, OutputExistsError, WeightsError
from sslhsic_transfer.hub.convert import convert_haiku, convert_haiku_networks, load_pretraining, save_pretraining
from tests.hub.convert.test_haiku_checkpoint import released
from tests.references.haiku_resnet import DEPTHS, HEAD, forward, head, random_network


def networks():
    """Averaged, online and target networks that differ."""
    return [random_network(18, first_shortcut=False, seed=seed) for seed in (0, 1, 2)]


def checkpoint(evaluated, online, target):
    made = released(*evaluated)
    experiment = made["experiment_state"]
    experiment["online_params"], experiment["online_state"] = online
    experiment["target_params"], experiment["target_state"] = target
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A released checkpoint, converted with its heads."""
    root = tmp_path_factory.mktemp("jax")
    np.save(root / "checkpoint.npy", checkpoint(*networks()))
    convert_haiku(root / "checkpoint.npy").encoder.save_pretrained(root / "model")
    save_pretraining(convert_haiku_networks(root / "checkpoint.npy"), root / "model")
    return root / "model"


def test_every_array_is_where_it_belongs(folder):
    """Values, not only shapes: of the online network as training left it, and of the target's own."""
    _, (online, statistics), (target, target_statistics) = networks()
    state = load_pretraining(folder)
    found = {name: tensor.numpy() for name, tensor in state.learner.items()}
    for name, params, stats, module in (
        ("online.projector", online, statistics, "projector"),
        ("predictor", online, statistics, "predictor"),
        ("target.projector", target, target_statistics, "projector"),
    ):
        np.testing.assert_array_equal(found[f"{name}.0.weight"], params[f"{module}/linear"]["w"].T)
        np.testing.assert_array_equal(found[f"{name}.0.bias"], params[f"{module}/linear"]["b"])
        norm = f"{module}/batch_norm"
        np.testing.assert_array_equal(found[f"{name}.1.weight"], params[norm]["scale"][0])
        np.testing.assert_array_equal(found[f"{name}.1.bias"], params[norm]["offset"][0])
        np.testing.assert_array_equal(found[f"{name}.1.running_mean"], stats[f"{norm}/~/mean_ema"]["average"][0])
        np.testing.assert_array_equal(found[f"{name}.1.running_var"], stats[f"{norm}/~/var_ema"]["average"][0])
        np.testing.assert_array_equal(found[f"{name}.3.weight"], params[f"{module}/linear_1"]["w"].T)
    for name, params in (("online", online), ("target", target)):
        kernel = params["res_net18/~/initial_conv"]["w"]
        np.testing.assert_array_equal(found[f"{name}.encoder.conv1.weight"], kernel.transpose(3, 2, 0, 1))
    assert found["target.encoder.bn1.num_batches_tracked"] == 3
    assert (state.kernel_scale.item(), state.averaged) == (9.0, 8), "the scale as training left it, not its average"


def test_the_networks_give_the_references_embeddings(folder):
    from sslhsic_transfer.pretrain.networks import Learner

    _, (online, statistics), (target, target_statistics) = networks()
    encoder = from_pretrained(folder)
    learner = Learner(encoder, hidden_dim=HEAD[0], embedding_dim=HEAD[1], uses_target=True)
    learner.load_state_dict(dict(load_pretraining(folder).learner))
    images = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype(np.float32)
    root, blocks = "res_net18", DEPTHS[18][0]
    projected = head(online, statistics, "projector", forward(online, statistics, images, root=root, blocks=blocks))
    expected = [
        head(online, statistics, "predictor", projected),
        head(
            target,
            target_statistics,
            "projector",
            forward(target, target_statistics, images, root=root, blocks=blocks),
        ),
    ]
    with torch.no_grad():
        views = torch.from_numpy(images).permute(0, 3, 1, 2)
        found = learner.eval()(views, views)[1:3]
    for own, reference in zip(found, expected, strict=True):
        torch.testing.assert_close(own.double(), reference, rtol=1e-4, atol=1e-4)


def test_byols_checkpoints_have_no_kernel_and_no_average(tmp_path):
    evaluated, online, target = networks()
    experiment = checkpoint(evaluated, online, target)["experiment_state"]
    del experiment["kernel_params"]
    (tmp_path / "byol.pkl").write_bytes(pickle.dumps({"experiment_state": experiment, "step": 1}))
    state = convert_haiku_networks(tmp_path / "byol.pkl")
    assert (state.kernel_scale, state.averaged) == (None, 0)
    assert "target.projector.3.weight" in state.learner


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["experiment_state"]["target_params"].pop("projector/linear_1"), "projector/linear_1/w is missing"),
        (
            lambda c: c["experiment_state"]["online_params"]["predictor/linear"].update(w=np.zeros(3, np.float32)),
            r"predictor/linear/w has shape \(3,\); expected \(inputs, outputs\)",
        ),
        (
            lambda c: c["experiment_state"]["online_params"]["predictor/linear"].update(b=np.zeros((2, 3), np.float32)),
            r"linear/b has shape \(2, 3\); expected one number a channel",
        ),
        (lambda c: c["experiment_state"].update(kernel_params={}), "hsic_loss/scale is missing"),
        (lambda c: c["experiment_state"].update(kernel_params={"hsic_loss": {"scale": "1"}}), "scale is a str"),
        (lambda c: c["ema_state"].update(ema_state={}), "0 different counters"),
        (lambda c: c["experiment_state"].pop("target_state"), "expected experiment_state.target_state"),
        (
            lambda c: c["experiment_state"]["online_params"]["projector/linear"].update(
                b=np.full(HEAD[0], np.nan, np.float32)
            ),
            r"NaN or infinite values:\n.*online.projector.0.bias",
        ),
    ],
)
def test_a_checkpoint_without_them_says_what_is_missing(change, message, tmp_path):
    made = checkpoint(*networks())
    change(made)
    np.save(tmp_path / "a.npy", made)
    with pytest.raises(WeightsError, match=message):
        convert_haiku_networks(tmp_path / "a.npy")


def test_the_file_belongs_to_the_weights_beside_it(folder, tmp_path):
    state = load_pretraining(folder)
    with pytest.raises(OutputExistsError, match="--overwrite"):
        save_pretraining(state, folder)
    from_pretrained(folder).save_pretrained(tmp_path / "other", dtype=torch.float16)
    path = save_pretraining(state, tmp_path / "other")
    path.write_bytes((folder / path.name).read_bytes())
    with pytest.raises(FingerprintError, match="Convert the checkpoint again, with --with-heads"):
        load_pretraining(tmp_path / "other")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(WeightsError, match="not a whole safetensors file"):
        load_pretraining(tmp_path / "other")
    path.unlink()
    with pytest.raises(ModelNotFoundError, match=r"No pretraining\.safetensors"):
        load_pretraining(tmp_path / "other")
