import json
import pickle

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file

from tests.hub.convert.conftest import randomized
from tests.hub.convert.test_haiku_checkpoint import released
from tests.references.haiku_resnet import random_network


@pytest.fixture(scope="module")
def state():
    return randomized(timm.create_model("resnet18")).state_dict()


@pytest.mark.parametrize("command", ["haiku", "byol", "torch", "torchvision", "timm", "model"])
def test_every_command_has_help(sslhsic_here, command):
    assert "--output" in sslhsic_here("convert", command, "--help").stdout


def test_a_pytorch_checkpoint_becomes_a_model_folder(sslhsic_here, state, digits, tmp_path):
    moco = {f"module.encoder_q.{name}": value for name, value in state.items()}
    torch.save({"state_dict": moco | {"module.queue": torch.zeros(2, 2)}, "epoch": 200}, tmp_path / "moco.pth")
    command = ["convert", "torch", "moco.pth", "--output", "model", "--resize", "40", "--crop", "32"]
    done = sslhsic_here(*command, "--interpolation", "bilinear")
    for text in (
        "MoCo (encoder_q.)",
        "Used:     120 tensors",
        "encoder_q.fc.weight",
        "module.queue",
        "epoch",
        "bilinear",
    ):
        assert text in done.stdout
    saved = load_file(tmp_path / "model/model.safetensors")
    assert all(torch.equal(saved[name], state[name]) for name in saved)
    config = json.loads((tmp_path / "model/config.json").read_text())
    assert config["preprocessing"]["crop"] == 32
    assert config["metadata"]["conversion"]["source"] == "moco.pth"
    assert (
        "out.parquet: 24 pictures" in sslhsic_here("embed", "model", digits / "test", "--output", "out.parquet").stdout
    )

    done = sslhsic_here(*command, check=False)
    assert done.returncode == 1
    assert "already exists" in done.stderr
    sslhsic_here(*command, "--overwrite", "--padding", "same", "--prefix", "encoder_q", "--drop", "module.queue")
    assert json.loads((tmp_path / "model/config.json").read_text())["encoder"]["padding"] == "same"


def test_jax_checkpoints_become_model_folders(sslhsic_here, tmp_path):
    params, statistics = random_network(18, first_shortcut=False)
    np.save(tmp_path / "checkpoint.npy", released(params, statistics))
    assert "ema_state.online_params" in sslhsic_here("convert", "haiku", "checkpoint.npy", "--output", "a").stdout
    byol = {"experiment_state": {"online_params": params, "online_state": statistics}, "step": 1}
    (tmp_path / "byol.pkl").write_bytes(pickle.dumps(byol))
    assert "experiment_state.online_params" in sslhsic_here("convert", "byol", "byol.pkl", "--output", "b").stdout
    first, second = (load_file(tmp_path / folder / "model.safetensors") for folder in "ab")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_jax_checkpoint_keeps_its_heads_on_request(sslhsic_here, tmp_path):
    np.save(tmp_path / "checkpoint.npy", released(*random_network(18, first_shortcut=False)))
    command = ["convert", "haiku", "checkpoint.npy", "--output", "a", "--with-heads"]
    told = sslhsic_here(*command).stdout
    assert "init_from=a init_parts=all" in told
    assert "center square of 224/256 of the short side" in told
    assert "learner.predictor.3.weight" in load_file(tmp_path / "a/pretraining.safetensors")
    assert "already exists" in sslhsic_here(*command, check=False).stderr
    sslhsic_here(*command, "--overwrite")


def test_a_model_folder_becomes_weights_and_config_of_mmseg(sslhsic_here, model_folder, tmp_path):
    done = sslhsic_here("convert", "model", model_folder, "--to", "mmseg", "--output", "model.pth")
    assert (tmp_path / "model.py").read_text() in done.stdout
    assert "depth=18" in done.stdout
    saved, expected = torch.load(tmp_path / "model.pth"), load_file(model_folder / "model.safetensors")
    assert all(torch.equal(value, saved["state_dict"][name]) for name, value in expected.items())


def test_a_model_folder_becomes_weights_and_settings_of_detectron2(sslhsic_here, model_folder, tmp_path):
    command = ["convert", "model", model_folder, "--to", "detectron2", "--output", "r18.pkl"]
    done = sslhsic_here(*command)
    assert (tmp_path / "r18.yaml").read_text() in done.stdout
    assert "r18.yaml" in done.stdout
    content = pickle.loads((tmp_path / "r18.pkl").read_bytes())
    assert content["matching_heuristics"] is False
    assert "backbone.bottom_up.res2.0.conv1.norm.weight" in content["model"]
    assert "already exists" in sslhsic_here(*command, check=False).stderr
    sslhsic_here(*command, "--overwrite", "--network", "resnet")
    assert "stem.conv1.weight" in pickle.loads((tmp_path / "r18.pkl").read_bytes())["model"]
    assert ".pkl" in sslhsic_here(*command[:-1], "r18.pth", check=False).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("haiku", "nothing.npy"), "There is no file nothing.npy"),
        (("byol", "text.pkl"), "text.pkl is not a whole pickle"),
        (("torch", "text.pkl"), "text.pkl is not a whole pickle"),
        (("torch", "text.pkl", "--crop", "300"), "crop (300) must not be larger than resize (256)"),
        (("torchvision", "resnet51"), "Did you mean 'resnet50'"),
        (("timm", "vit_nothing"), "no model 'vit_nothing'"),
    ],
)
def test_mistakes_give_one_message_and_no_traceback(sslhsic_here, tmp_path, arguments, message):
    (tmp_path / "text.pkl").write_text("text")
    done = sslhsic_here("convert", *arguments, "--output", "model", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "model").exists()


def test_an_option_of_another_library_is_refused(sslhsic_here, model_folder, tmp_path):
    command = ["convert", "model", model_folder, "--to", "mmseg", "--network", "c4", "--output", "model.pth"]
    assert "Got --network c4 with --to mmseg" in sslhsic_here(*command, check=False).stderr
    assert not (tmp_path / "model.pth").exists()
