"""Runs that start from all networks of another: of a JAX checkpoint, of a run's own."""

import numpy as np
import pytest
import torch

from sslhsic_transfer import create_encoder, from_pretrained
from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.hub.convert import convert_haiku, convert_haiku_networks, load_pretraining, save_pretraining
from sslhsic_transfer.pretrain import load_recipe, pretrain
from sslhsic_transfer.pretrain.initial import initial_state
from sslhsic_transfer.pretrain.trainer import Trainer
from sslhsic_transfer.training.accelerator import build_accelerator
from sslhsic_transfer.training.checkpoint import list_checkpoints, load_checkpoint
from tests.hub.convert.test_haiku_checkpoint import released
from tests.references.haiku_resnet import HEAD, random_network


@pytest.fixture(scope="module")
def jax_folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("jax")
    np.save(root / "checkpoint.npy", released(*random_network(18, first_shortcut=False)))
    convert_haiku(root / "checkpoint.npy").encoder.save_pretrained(root / "model")
    save_pretraining(convert_haiku_networks(root / "checkpoint.npy"), root / "model")
    return root / "model"


@pytest.fixture
def start(tiny_overrides, tmp_path):
    """Make the state at a run's beginning."""

    def make(source, *changes, fresh=True):
        heads = [f"head.hidden_dim={HEAD[0]}", f"head.embedding_dim={HEAD[1]}", "encoder.padding=same"]
        names = [f"init_from={source}", "init_parts=all", "average_decay=0.9", "trackers=[]"]
        recipe = load_recipe("demo", [*tiny_overrides, *heads, *names, *changes])
        return Trainer(recipe, build_accelerator(recipe.precision, [], tmp_path), pictures=72, fresh=fresh)

    return make


def test_a_jax_run_goes_on_from_all_it_had(jax_folder, start):
    trainer, state = start(jax_folder), load_pretraining(jax_folder)
    found = trainer.learner.state_dict()
    assert found.keys() == state.learner.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in state.learner.items())
    assert trainer.criterion.kernel_scale.item() == 9.0
    evaluated = from_pretrained(jax_folder)
    for name, parameter in trainer.evaluated_encoder().named_parameters():
        assert torch.equal(parameter, evaluated.get_parameter(name))
    assert trainer.state_dict()["average"]["count"] == 8


def test_resuming_does_not_read_them_again(jax_folder, start):
    trainer = start(jax_folder, fresh=False)
    assert trainer.criterion.kernel_scale.item() == 1.0


def test_a_source_without_an_average_starts_it_at_the_online_weights(jax_folder, start, tmp_path):
    state = load_pretraining(jax_folder)
    from_pretrained(jax_folder).save_pretrained(tmp_path / "byol")
    save_pretraining(type(state)(state.learner, None, 0), tmp_path / "byol")
    trainer = start(tmp_path / "byol")
    assert trainer.criterion.kernel_scale.item() == 1.0
    assert trainer.state_dict()["average"]["count"] == 1
    weight = trainer.evaluated_encoder().conv1.weight
    assert torch.equal(weight, state.learner["online.encoder.conv1.weight"])


def test_a_runs_checkpoint_gives_its_networks(run, start, tiny_overrides, tmp_path):
    checkpoint = list_checkpoints(run / "checkpoints")[-1]
    own = ["head.hidden_dim=32", "head.embedding_dim=16", "encoder.padding=torch"]
    trainer = start(checkpoint, *own)
    saved = load_checkpoint(checkpoint)[1]["trainer"]
    assert all(torch.equal(tensor, saved["learner"][name]) for name, tensor in trainer.learner.state_dict().items())
    assert trainer.criterion.kernel_scale.item() == saved["criterion"]["kernel_scale"].item() != 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["head.hidden_dim=32"], r"online\.projector\.0\.weight .*\n.*Set head\.hidden_dim, .*init_parts=encoder"),
        (["objective=ssl-hsic-no-target"], r"(?s)not of this network.*objective to those of the weights"),
        (["encoder.padding=torch"], "holds resnet18 .* padding same.* padding torch"),
    ],
)
def test_other_networks_are_refused(changes, message, jax_folder, start):
    with pytest.raises(ConfigError, match=message):
        start(jax_folder, *changes)


def test_a_model_alone_is_refused(tmp_path):
    encoder = create_encoder("resnet18")
    encoder.save_pretrained(tmp_path)
    for source in (tmp_path, "sslhsic-r18", "torchvision/IMAGENET1K_V1"):
        with pytest.raises(ConfigError, match=r"has no pretraining\.safetensors .*--with-heads"):
            initial_state(str(source), encoder.config)
    with pytest.raises(ConfigError, match="init_from names no weights"):
        load_recipe("demo", ["init_parts=all"])


@pytest.mark.slow
def test_a_jax_run_trains_on(jax_folder, tiny_overrides, digits, tmp_path):
    heads = [f"head.hidden_dim={HEAD[0]}", f"head.embedding_dim={HEAD[1]}", "encoder.padding=same", "epochs=1"]
    recipe = load_recipe("demo", [*tiny_overrides, *heads, f"init_from={jax_folder}", "init_parts=all"])
    model = from_pretrained(pretrain(recipe, digits, tmp_path / "run", progress=False))
    assert model.metadata["recipe"]["init_parts"] == "all"
