import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sslhsic_transfer import Encoder, Preprocessing, create_encoder, from_pretrained
from sslhsic_transfer._files import sha256_of_file
from sslhsic_transfer.errors import (
    ConfigError,
    FingerprintError,
    ModelNotFoundError,
    OutputExistsError,
    WeightsError,
)
from sslhsic_transfer.hub.encoder import load_folder


def edit_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_weights(folder, change, *, adapt_hash=True):
    """Change the weights; with the recorded hash adapted, so that what comes after the hash check is tested."""
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors")
    if adapt_hash:
        fingerprint = json.loads((folder / "config.json").read_text())["fingerprint"]
        edit_config(folder, fingerprint=fingerprint | {"sha256": sha256_of_file(folder / "model.safetensors")})


@pytest.mark.parametrize("architecture", ["resnet18", "resnet50"])
@pytest.mark.parametrize("stem", ["imagenet", "small"])
@pytest.mark.parametrize("padding", ["torch", "same"])
def test_what_is_saved_is_what_loads(architecture, stem, padding, tmp_path):
    preprocessing = Preprocessing(resize=80, crop=72, interpolation="bilinear", mean=(0.5, 0.4, 0.3))
    encoder = create_encoder(architecture, stem=stem, padding=padding, preprocessing=preprocessing)
    encoder(torch.randn(4, 3, 64, 64))  # training statistics that are not the initial ones
    encoder.metadata = {"epochs": 3}
    assert encoder.save_pretrained(tmp_path / "m") == tmp_path / "m"
    loaded = Encoder.from_pretrained(tmp_path / "m")
    assert (loaded.config, loaded.preprocessing, loaded.metadata) == (encoder.config, preprocessing, {"epochs": 3})
    assert not loaded.training
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    assert encoder.training, "saving changes no mode"
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(loaded(images), encoder.eval()(images))


def test_loads_where_and_as_what_it_is_asked(model_folder):
    encoder = from_pretrained(model_folder, device="cpu", dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.bfloat16}
    assert from_pretrained(str(model_folder), device="meta").conv1.weight.is_meta
    assert from_pretrained(model_folder, dtype="bfloat16").conv1.weight.dtype == torch.bfloat16
    assert from_pretrained(model_folder, dtype="torch.float64").conv1.weight.dtype == torch.float64


@pytest.mark.parametrize("dtype", ["bf17", "int8", "ones", torch.int8, torch.float8_e4m3fn, float])
def test_what_weights_are_not_kept_in_is_refused(dtype, model_folder, tmp_path):
    with pytest.raises(ConfigError, match=r"expected one of torch\.float32, torch\.bfloat16"):
        from_pretrained(model_folder, dtype=dtype)
    with pytest.raises(ConfigError, match=r"expected one of torch\.float32, torch\.bfloat16"):
        from_pretrained(model_folder).save_pretrained(tmp_path / "model", dtype=dtype)
    assert not (tmp_path / "model").exists()


def test_float16_weights_load_as_float32(tmp_path, model_folder):
    encoder = from_pretrained(model_folder)
    encoder.save_pretrained(tmp_path / "half", dtype=torch.float16)
    size, whole = ((folder / "model.safetensors").stat().st_size for folder in (tmp_path / "half", model_folder))
    assert size < 0.51 * whole
    assert encoder.conv1.weight.dtype == torch.float32, "saving changes no weight"
    images = torch.randn(2, 3, 64, 64)
    for loaded in (from_pretrained(tmp_path / "half"), load_folder(tmp_path / "half")):
        assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
        with torch.no_grad():
            assert torch.cosine_similarity(loaded(images), encoder(images)).min() > 0.9999
    encoder.half().save_pretrained(tmp_path / "cast")
    names = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("half", "cast")]
    assert names[0] == names[1]


def test_weights_beyond_what_float16_holds_are_refused(tmp_path, model_folder):
    encoder = from_pretrained(model_folder)
    encoder.bn1.running_var.fill_(1e5)
    with pytest.raises(WeightsError, match=r"bn1\.running_var"):
        encoder.save_pretrained(tmp_path / "half", dtype=torch.float16)
    assert not (tmp_path / "half/model.safetensors").exists()


@pytest.mark.parametrize("fact", [np.float32(0.5), torch.tensor(1.0), object(), math.nan])
def test_metadata_that_cannot_be_written_cost_nothing(own_model, fact):
    before = {path.name: path.read_bytes() for path in own_model.iterdir()}
    encoder = from_pretrained(own_model)
    encoder.conv1.weight.data.mul_(2)
    encoder.metadata["accuracy"] = fact
    with pytest.raises(ConfigError, match=r"'accuracy' is .*expected text, finite numbers"):
        encoder.save_pretrained(own_model, overwrite=True)
    encoder.metadata = {"log": "x" * (1 << 20)}
    with pytest.raises(ConfigError, match=r"would have \d+ bytes"):
        encoder.save_pretrained(own_model, overwrite=True)
    assert {path.name: path.read_bytes() for path in own_model.iterdir()} == before


def test_keeps_what_is_there_unless_told(own_model):
    encoder, before = create_encoder("resnet18"), sha256_of_file(own_model / "model.safetensors")
    with pytest.raises(OutputExistsError, match="overwrite=True"):
        encoder.save_pretrained(own_model)
    assert sha256_of_file(own_model / "model.safetensors") == before
    encoder.save_pretrained(own_model, overwrite=True)
    assert torch.equal(from_pretrained(own_model).conv1.weight, encoder.conv1.weight)


def test_whoever_can_read_the_config_can_read_the_weights(own_model):
    create_encoder("resnet18").save_pretrained(own_model, overwrite=True)
    modes = {path.stat().st_mode for path in own_model.iterdir()}
    assert len(modes) == 1


def test_leaves_no_temporary_files(own_model):
    assert sorted(path.name for path in own_model.iterdir()) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("length", [0, 5, 100, 10_000, -1])
def test_a_truncated_file_is_refused(own_model, length):
    path = own_model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(WeightsError, match="not a whole safetensors file"):
        from_pretrained(own_model)


def test_missing_and_foreign_keys_are_named(own_model):
    def change(state):
        del state["layer1.0.conv1.weight"]
        state["fc.weight"] = torch.zeros(10, 512)

    edit_weights(own_model, change)
    with pytest.raises(WeightsError) as caught:
        from_pretrained(own_model)
    assert "1 missing: layer1.0.conv1.weight" in str(caught.value)
    assert "1 not of this network: fc.weight" in str(caught.value)


def test_weights_of_another_shape_are_named(own_model):
    config = json.loads((own_model / "config.json").read_text())
    edit_config(own_model, encoder=config["encoder"] | {"stem": "small"})
    with pytest.raises(WeightsError, match=r"conv1.weight \(64, 3, 7, 7\) instead of \(64, 3, 3, 3\)"):
        from_pretrained(own_model)


def test_a_lone_file_beside_its_config(own_model):
    lone = (own_model / "model.safetensors").rename(own_model / "epoch-3.safetensors")
    assert torch.equal(from_pretrained(lone).conv1.weight, load_file(lone)["conv1.weight"])
    (own_model / "config.json").unlink()
    with pytest.raises(ModelNotFoundError, match=r"No config\.json.*found: epoch-3\.safetensors"):
        from_pretrained(str(lone))


@pytest.mark.parametrize("header", [0, 1, 1 << 21, 1 << 40, (1 << 64) - 1])
def test_a_header_out_of_all_proportion_is_refused(own_model, header):
    path = own_model / "model.safetensors"
    path.write_bytes(header.to_bytes(8, "little") + path.read_bytes()[8:])
    with pytest.raises(WeightsError, match=f"its header would have {header} bytes"):
        from_pretrained(own_model)


def test_tensors_that_overlap_or_leave_the_file_are_refused(own_model):
    path = own_model / "model.safetensors"
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    for offsets in ([0, 10**12], header["bn1.weight"]["data_offsets"]):
        changed = json.dumps(header | {"conv1.weight": header["conv1.weight"] | {"data_offsets": offsets}}).encode()
        path.write_bytes(len(changed).to_bytes(8, "little") + changed + data[8 + length :])
        with pytest.raises(WeightsError, match="not a whole safetensors file"):
            from_pretrained(own_model)


def test_a_file_that_is_too_large_for_its_network_is_not_read(own_model):
    with (own_model / "model.safetensors").open("ab") as file:
        file.truncate(10**9)
    with pytest.raises(WeightsError, match="1000000000 bytes; this network's weights have at most"):
        from_pretrained(own_model)


def test_numbers_of_another_kind_are_refused(own_model):
    edit_weights(own_model, lambda state: state.update({"conv1.weight": state["conv1.weight"].to(torch.int8)}))
    with pytest.raises(WeightsError, match=r"conv1\.weight holds torch\.int8"):
        from_pretrained(own_model)


def test_exchanged_weights_are_found_by_their_hash(own_model):
    edit_weights(own_model, lambda state: state["conv1.weight"].mul_(1.5), adapt_hash=False)
    with pytest.raises(FingerprintError, match="SHA-256"):
        from_pretrained(own_model)


@pytest.mark.parametrize("change", ["weights", "padding"])
def test_a_network_that_computes_something_else_is_found_by_its_features(own_model, change):
    """A hash that fits cannot save a config.json that makes another network of the same parameters."""
    if change == "weights":
        edit_weights(own_model, lambda state: state["layer4.1.bn2.weight"].mul_(1.1))
    else:
        edit_config(
            own_model, encoder=json.loads((own_model / "config.json").read_text())["encoder"] | {"padding": "same"}
        )
    with pytest.raises(FingerprintError, match="features of the fixed input differ"):
        from_pretrained(own_model)


def test_weights_that_are_not_finite_are_refused(own_model, tmp_path):
    edit_weights(own_model, lambda state: state["conv1.weight"][0, 0, 0].fill_(torch.nan))
    with pytest.raises(WeightsError, match=r"conv1.weight"):
        from_pretrained(own_model)
    encoder = create_encoder("resnet18")
    encoder.bn1.running_var.fill_(torch.inf)
    with pytest.raises(WeightsError, match=r"bn1.running_var"):
        encoder.save_pretrained(tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("{", "is not JSON"),
        ("[]", "format_version"),
        ('{"architecture": "resnet18"}', "format_version"),
        ('{"format_version": 2}', "format_version"),
        ('{"format_version": 1}', "encoder: missing"),
        (" " * (1 << 21), "2097152 bytes"),
        ("[" * 500_000, "is not JSON"),
    ],
)
def test_a_config_that_cannot_be_used_says_why(own_model, content, found):
    (own_model / "config.json").write_text(content)
    with pytest.raises(ConfigError, match=found):
        from_pretrained(own_model)


def test_an_unknown_architecture_in_the_config_is_named(own_model):
    edit_config(own_model, encoder={"architecture": "resnet19"})
    with pytest.raises(ConfigError, match=r"encoder.architecture: Unknown architecture 'resnet19'.*Did you mean"):
        from_pretrained(own_model)


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_an_incomplete_folder_is_named(own_model, missing):
    (own_model / missing).unlink()
    with pytest.raises(ModelNotFoundError, match=f"No {missing}"):
        from_pretrained(own_model)


def test_folders_that_are_no_encoder_say_what_they_are(tmp_path):
    (tmp_path / "run/model").mkdir(parents=True)
    (tmp_path / "run/model/transfer.json").write_text("{}")
    with pytest.raises(ModelNotFoundError, match=r"Do you mean .*run/model/\?"):
        from_pretrained(tmp_path / "run")
    with pytest.raises(ModelNotFoundError, match=r"It is a fine-tuned model; expected an encoder"):
        from_pretrained(tmp_path / "run/model")


def test_a_name_that_is_no_folder_says_what_loads(tmp_path):
    with pytest.raises(ModelNotFoundError, match="There is no model at"):
        from_pretrained(tmp_path / "nothing")
    with pytest.raises(ModelNotFoundError, match="Did you mean sslhsic-r18"):
        from_pretrained("sslhsic-r17")
