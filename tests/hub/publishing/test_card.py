import re

import pytest
import torch
import yaml

from sslhsic_transfer import create_encoder
from sslhsic_transfer.errors import PublishError
from sslhsic_transfer.hub.config_file import read_config
from sslhsic_transfer.hub.publishing.card import render_card
from sslhsic_transfer.hub.publishing.examples import lay_pictures, python_examples
from sslhsic_transfer.hub.publishing.facts import ModelFacts
from sslhsic_transfer.results import load_results, new_result
from tests.hub.conftest import FACTS

REPO = "org/tiny-r18"


@pytest.fixture
def config(publishable):
    return read_config(publishable)


@pytest.fixture
def results(publishable):
    return load_results(publishable / "results.json")


def metadata_of(card):
    return yaml.safe_load(card.split("---\n")[1])


def with_facts(config, **facts):
    return config.model_copy(update={"metadata": {**config.metadata, **facts}})


def test_says_all_in_the_promised_order(config, results):
    card = render_card(REPO, config, results)
    body = [
        "# tiny-r18",
        "ResNet-18 that learned without labels, by SSL-HSIC on Sign digits.",
        "> **Status.** Trained by the tests on 1,653 pictures of Sign digits",
        "> for 2 epochs, 3 minutes on one CPU.",
        "These are not the weights of the SSL-HSIC paper",
        'from_pretrained("org/tiny-r18")',
        "# (2, 512)",
        'timm.create_model("hf_hub:org/tiny-r18"',
        "`sslhsic export org/tiny-r18 --output model.onnx`",
        "## Preprocessing",
        "## Results",
        "### Frozen",
        "| data, split | task | tiny-r18 | raw pixels | n | seeds |",
        "| digits, test | k-NN, top-1 | 88.8 % | 74.8 % | 409 | 1 |",
        "- k-NN: weighted k-NN, k=20; 64 px.",
        "## Intended use and limits",
        "## Training",
        "| energy | not measured |",
        config.fingerprint.sha256,
        "## Citation",
    ]
    places = [card.index(text) for text in body]
    assert places == sorted(places)
    assert "### Fine-tuned" not in card
    assert not re.search(r"\n\n\n|\{\{", card), card


def test_the_metadata_are_what_the_hub_reads(config, results):
    metadata = metadata_of(render_card(REPO, config, results))
    assert metadata["license"] == "mit"
    assert metadata["library_name"] == "sslhsic-transfer"
    assert metadata["pipeline_tag"] == "image-feature-extraction"
    assert metadata["datasets"] == ["sign-digits"]
    assert metadata["metrics"] == ["accuracy"]
    (model,) = metadata["model-index"]
    (entry,) = model["results"]
    assert entry["dataset"]["name"] == "digits"
    assert entry["metrics"][0]["value"] == 0.888


def test_dense_results_have_a_table_of_their_own_with_deviations(config, results):
    dense = {
        "dataset": "voc",
        "split": "val",
        "n": 100,
        "seeds": [0, 1, 2],
        "weights_sha256": config.fingerprint.sha256,
    }
    results += [
        new_result(model="m", task="segmentation", metric="mIoU", value=0.41, std=0.012, protocol="FCN", **dense),
        new_result(model="m", task="depth", metric="rms", value=0.5432, std=0.01, protocol="upproj", **dense),
        new_result(
            model="m", task="detection", metric="AP", value=0.25, protocol="FPN", framework="detectron2", **dense
        ),
    ]
    card = render_card(REPO, config, results)
    assert card.index("### Frozen") < card.index("### Fine-tuned")
    assert "| voc, val | segmentation, mIoU | 41.0 ± 1.2 % | 100 | 3 |" in card
    assert "| voc, val | depth, rms | 0.543 ± 0.010 | 100 | 3 |" in card
    assert "| voc, val (detectron2) | detection, AP | 25.0 % | 100 | 3 |" in card


def test_where_the_model_is_not_ahead_is_told(config, results):
    own = {"dataset": "rooms", "split": "test", "task": "depth", "n": 45, "weights_sha256": config.fingerprint.sha256}
    theirs = {**own, "weights_sha256": None}
    results += [
        new_result(model="m", metric="abs_rel", value=0.118, protocol="DPT", **own),
        new_result(model="random", metric="abs_rel", value=0.112, protocol="DPT", **theirs),
        new_result(model="m", metric="delta1", value=0.9, protocol="DPT", **own),
        new_result(model="random", metric="delta1", value=0.8, protocol="DPT", **theirs),
    ]
    card = render_card(REPO, config, results)
    lines = card[card.index("**Where") :].splitlines()
    assert lines[0] == "**Where tiny-r18 is not ahead:**"
    assert lines[2:4] == ["- depth, abs_rel on rooms, test: 0.118, and random 0.112.", ""]
    assert lines[4].startswith("- k-NN: weighted"), "delta1, which is better, is not told"


def test_a_model_ahead_everywhere_is_told_no_exceptions(config, results):
    higher_rank = {"task": "rankme", "metric": "effective rank"}
    results += [
        results[-1].model_copy(update={**higher_rank, "value": 100.0}),
        results[0].model_copy(update={**higher_rank, "value": 200.0}),
    ]
    card = render_card(REPO, config, results)
    assert "| digits, test | RankMe, effective rank | 100.000 | 200.000 | 409 | 1 |" in card
    assert "not ahead" not in card


def test_the_rank_of_embeddings_is_no_metric_of_the_hub(config, results):
    rank = results[-1].model_copy(update={"task": "rankme", "metric": "effective rank", "value": 164.66})
    card = render_card(REPO, config, [*results, rank])
    assert "| digits, test | RankMe, effective rank | 164.660 | – | 409 | 1 |" in card
    assert metadata_of(card)["metrics"] == ["accuracy"]
    assert len(metadata_of(card)["model-index"][0]["results"]) == 1


def test_two_protocols_of_one_task_are_two_rows(config, results):
    other = results[-1].model_copy(update={"protocol": "weighted k-NN, k=200; 64 px", "value": 0.5})
    card = render_card(REPO, config, [*results, other])
    assert "| digits, test | k-NN, top-1 | 88.8 % | 74.8 % | 409 | 1 |" in card
    assert "| digits, test | k-NN, top-1 | 50.0 % | – | 409 | 1 |" in card


@pytest.mark.parametrize("form", [{"stem": "small"}, {"padding": "same"}, {"width": 2}])
def test_what_timm_does_not_have_is_not_promised(config, results, form):
    encoder = create_encoder("resnet18", **form)
    card = render_card(REPO, config.model_copy(update={"encoder": encoder.config}), results)
    assert "timm.create_model" not in card
    assert "timm has no network of this form" in card


def test_every_missing_fact_is_named_with_where_it_comes_from(config, results):
    with pytest.raises(PublishError) as caught:
        render_card(REPO, config.model_copy(update={"metadata": {"epochs": 0}}), results)
    message = str(caught.value)
    for name in FACTS.keys() - {"epochs"}:
        assert re.search(rf"^{name} \(.*missing", message, re.MULTILINE)
    assert re.search(r"^epochs .*greater than 0", message, re.MULTILINE)
    assert re.search(r"^licence .*pass it when publishing", message, re.MULTILINE)
    assert re.search(r"^hours \(Duration of the training in hours\): .*sslhsic pretrain", message, re.MULTILINE)


def test_a_licence_is_an_identifier(config, results):
    with pytest.raises(PublishError, match="SPDX identifier"):
        render_card(REPO, with_facts(config, licence="The MIT licence"), results)


def test_no_figure_of_these_weights(config, results):
    with pytest.raises(PublishError, match="no figure that was measured with these weights"):
        render_card(REPO, config, [result.model_copy(update={"weights_sha256": None}) for result in results])


def test_optional_facts_are_told(config, results):
    card = render_card(REPO, with_facts(config, energy_kwh=0.25, limits="Digits alone.", hours=30.0), results)
    for text in ("| energy | 0.25 kWh |", "Digits alone.", "30.0 hours"):
        assert text in card
    assert ModelFacts.model_fields["limits"].default not in card


@pytest.mark.parametrize(
    ("init_from", "told"),
    [
        ("sslhsic-r18@v1", "`sslhsic-r18@v1`"),
        ("org/tiny", "`org/tiny`"),
        ("/home/somebody/runs/one/model", "other weights"),
        ("./model", "other weights"),
        ("somebody.safetensors", "other weights"),
        ("one of somebody's", "other weights"),
    ],
)
def test_what_training_began_with_is_told_but_no_place_on_a_disk(config, results, init_from, told):
    card = render_card(REPO, with_facts(config, recipe={"init_from": init_from}), results)
    assert f"on one CPU, beginning with {told}." in card
    assert f"| began with | {told} |" in card
    assert "somebody" not in card
    assert "began with" not in render_card(REPO, with_facts(config, recipe={"init_from": None}), results)


@torch.no_grad()
def test_its_first_example_runs(config, results, publishable, tmp_path, monkeypatch):
    card = render_card(REPO, config, results).replace(REPO, publishable.as_posix())
    first, _ = python_examples(card)
    monkeypatch.chdir(tmp_path)
    lay_pictures(tmp_path)
    names: dict[str, object] = {}
    exec(first, names)
    assert names["embeddings"].shape == (2, 512)
