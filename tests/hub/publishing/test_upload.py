"""Publishing to a Hub on the loopback interface, by the real client."""

import json
from contextlib import contextmanager

import pytest
import torch
import yaml

from sslhsic_transfer import Encoder, from_pretrained
from sslhsic_transfer.errors import ConfigError, FingerprintError, HubError, ModelNotFoundError, PublishError
from sslhsic_transfer.hub.config_file import read_config, write_config
from sslhsic_transfer.hub.publishing import publish
from sslhsic_transfer.hub.publishing.remote import Remote
from sslhsic_transfer.results import load_results, save_results
from tests.hub.conftest import FACTS

REPO = "tester/tiny-r18"
FILES = ["README.md", "config.json", "model.safetensors", "results.json"]


@pytest.fixture(autouse=True)
def example(request):
    if "real_example" not in request.fixturenames:
        request.getfixturevalue("no_example")


@pytest.fixture
def real_example():
    """Let the card's example run."""


def writes(hub):
    return [r for r in hub.requests if r.method in ("POST", "PUT", "DELETE") and "validate-yaml" not in r.path]


class TestPublishing:
    def test_what_is_published_is_what_loads(self, hub, publishable, real_example):
        (publishable / "notes.txt").write_text("not for others")
        report = publish(publishable, REPO, tag="v1")
        assert sorted(hub.files(REPO)) == FILES
        assert hub.tags(REPO) == {"v1": report.commit}
        assert report.left_out == ("notes.txt",)
        assert {state for _, state in report.files.values()} == {"new"}
        assert len(hub.commits(REPO)) == 2, "the Hub's own and one more"
        loaded = from_pretrained(f"{REPO}@v1")
        images = torch.randn(2, 3, 64, 64)
        with torch.no_grad():
            assert torch.equal(loaded(images), from_pretrained(publishable)(images))
        assert loaded.metadata == FACTS
        for name in FILES:
            assert hub.files(REPO)[name] == (publishable / name).read_bytes()

    def test_no_place_on_this_machine_is_told(self, hub, publishable):
        secret, config = "/home/somebody/secret", read_config(publishable)
        recipe = {"epochs": 2, "init_from": f"{secret}/first/model"}
        write_config(
            publishable / "config.json",
            config.model_copy(update={"metadata": {**config.metadata, "recipe": recipe}}),
        )
        (publishable / "recipe.yaml").write_text(yaml.safe_dump(recipe))
        results = load_results(publishable / "results.json")
        place = f"{secret}/second/run/model"
        save_results(publishable / "results.json", [results[-1].model_copy(update={"model": place})])
        publish(publishable, REPO)
        uploaded = hub.files(REPO)
        assert not [name for name, content in uploaded.items() if b"somebody" in content]
        assert yaml.safe_load(uploaded["recipe.yaml"]) == {"epochs": 2, "init_from": "other weights"}
        assert json.loads(uploaded["results.json"])["results"][-1]["model"] == "run/model"
        assert secret in (publishable / "config.json").read_text(), "here it stays"
        assert publish(publishable, REPO).url is None, "and again is nothing"

    def test_again_is_nothing(self, hub, publishable):
        first = publish(publishable, REPO, tag="v1")
        hub.requests.clear()
        second = publish(publishable, REPO, tag="v1")
        assert not writes(hub)
        assert (second.commit, second.url) == (first.commit, None)
        assert {state for _, state in second.files.values()} == {"unchanged"}

    def test_a_tag_for_what_is_there_already(self, hub, publishable):
        first = publish(publishable, REPO)
        assert publish(publishable, REPO, tag="v1").url is None
        assert hub.tags(REPO) == {"v1": first.commit}

    def test_only_what_changed_is_sent(self, hub, publishable):
        publish(publishable, REPO, tag="v1")
        report = publish(publishable, REPO, trained_by="somebody else", tag="v2")
        assert {name for name, (_, state) in report.files.items() if state == "changed"} == {"README.md", "config.json"}
        assert len(hub.tags(REPO)) == 2
        assert b"somebody else" in hub.files(REPO)["README.md"]
        assert b"somebody else" in (publishable / "config.json").read_bytes()

    def test_a_tag_never_moves(self, hub, publishable):
        publish(publishable, REPO, tag="v1")
        with pytest.raises(PublishError, match="has a tag v1 already"):
            publish(publishable, REPO, trained_by="somebody else", tag="v1")
        assert b"somebody else" not in hub.files(REPO)["README.md"]

    def test_what_is_public_does_not_become_private_unnoticed(self, hub, publishable):
        hub.add(REPO, {"a.txt": b"1"})
        with pytest.raises(PublishError, match="is public already"):
            publish(publishable, REPO, private=True)
        assert not writes(hub)

    def test_nor_does_a_new_branch_of_it(self, hub, publishable):
        publish(publishable, REPO, tag="v1")
        hub.requests.clear()
        with pytest.raises(PublishError, match="is public already"):
            publish(publishable, REPO, private=True, revision="next")
        with pytest.raises(PublishError, match="has a tag v1 already"):
            publish(publishable, REPO, revision="next", tag="v1")
        assert not writes(hub)
        publish(publishable, REPO, revision="next", tag="v2")
        assert sorted(hub.files(REPO, "next")) == FILES

    def test_private_branch_and_pull_request(self, hub, publishable):
        publish(publishable, REPO, private=True, revision="next")
        assert hub.store.repositories[REPO].private
        assert hub.files(REPO) == {}
        assert sorted(hub.files(REPO, "next")) == FILES
        report = publish(publishable, REPO, create_pr=True)
        assert "/discussions/" in report.url
        assert hub.files(REPO) == {}
        assert from_pretrained(f"{REPO}@{report.commit}").feature_dim == 512

    def test_from_memory_as_it_was_stored(self, hub, model_folder, publishable, tmp_path):
        half = from_pretrained(model_folder).save_pretrained(tmp_path / "half", dtype=torch.float16)
        encoder = from_pretrained(half)
        encoder.metadata = dict(FACTS)
        results = [
            result.model_copy(update={"weights_sha256": result.weights_sha256 and encoder.weights_sha256})
            for result in load_results(publishable / "results.json")
        ]
        encoder.push_to_hub(REPO, results)
        assert from_pretrained(REPO).weights_sha256 == encoder.weights_sha256

    def test_from_memory(self, hub, model_folder, publishable):
        encoder = Encoder.from_pretrained(model_folder)
        encoder.metadata = dict(FACTS)
        results = load_results(publishable / "results.json")
        report = encoder.push_to_hub(REPO, results, tag="v1", licence="bsd-3-clause")
        assert report.commit == hub.tags(REPO)["v1"]
        assert from_pretrained(REPO).metadata["licence"] == "bsd-3-clause"

    def test_figures_of_other_weights_are_not_the_encoders(self, hub, model_folder, publishable):
        encoder = Encoder.from_pretrained(model_folder)
        encoder.metadata = dict(FACTS)
        with torch.no_grad():
            encoder.conv1.weight.mul_(1.01)
        with pytest.raises(PublishError, match="no figure that was measured with these weights"):
            encoder.push_to_hub(REPO, load_results(publishable / "results.json"))

    def test_a_dry_run_writes_nothing_anywhere(self, hub, publishable):
        before = {path.name: path.read_bytes() for path in publishable.iterdir()}
        report = publish(publishable, REPO, dry_run=True, licence="apache-2.0")
        assert (report.commit, report.url) == (None, None)
        assert sorted(report.files) == FILES
        assert {path.name: path.read_bytes() for path in publishable.iterdir()} == before
        assert not writes(hub)
        publish(publishable, REPO)
        again = publish(publishable, REPO, dry_run=True, licence="apache-2.0")
        assert again.files["README.md"][1] == "changed"
        assert again.files["model.safetensors"][1] == "unchanged"

    def test_a_dry_run_without_a_hub(self, hub, publishable, waits):
        hub.stop()
        report = publish(publishable, REPO, dry_run=True)
        assert "What the Hub holds is not known" in report.note


@contextmanager
def refused(hub, match):
    """Expect that an unfit model is refused and leaves no trace on the Hub."""
    with pytest.raises((PublishError, ConfigError, ModelNotFoundError), match=match):
        yield
    assert not writes(hub)


class TestRefusals:
    def test_missing_facts_are_listed(self, hub, publishable):
        path = publishable / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"metadata": {}}))
        with refused(hub, r"(?s)licence.*trained_by.*hours"):
            publish(publishable, REPO)

    def test_unknown_facts(self, hub, publishable):
        with refused(hub, "Unknown facts: license; known are licence"):
            publish(publishable, REPO, license="mit")

    def test_no_results(self, hub, publishable):
        (publishable / "results.json").unlink()
        with refused(hub, "no results.json: measure it"):
            publish(publishable, REPO)

    def test_damaged_weights(self, hub, publishable):
        data = (publishable / "model.safetensors").read_bytes()
        (publishable / "model.safetensors").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with refused(hub, "weights: .*SHA-256"):
            publish(publishable, REPO)

    def test_no_model(self, hub, tmp_path):
        (tmp_path / "empty").mkdir()
        with refused(hub, "No config.json"):
            publish(tmp_path / "empty", REPO)

    def test_a_card_by_hand_is_not_overwritten(self, hub, publishable):
        (publishable / "README.md").write_text("# Mine")
        with refused(hub, "written by hand"):
            publish(publishable, REPO)
        assert (publishable / "README.md").read_text() == "# Mine"

    def test_placeholders(self, hub, publishable):
        with refused(hub, r"placeholder is left in line \d+: 'TODO'"):
            publish(publishable, REPO, limits="TODO: describe")

    def test_an_example_that_fails(self, hub, publishable, monkeypatch, real_example):
        monkeypatch.setattr(
            "sslhsic_transfer.hub.publishing.card.usage_snippet", lambda repo_id, dim: f"open('{repo_id}/nothing')"
        )
        with refused(hub, r"(?s)example: .*No such file"):
            publish(publishable, REPO)

    @pytest.mark.parametrize("repo", ["tiny", "./tiny", "a/b/c", "org/name@v1"])
    def test_a_name_that_is_no_repository(self, hub, publishable, repo):
        with pytest.raises(ConfigError, match="expected org/name"):
            publish(publishable, repo)
        assert not hub.requests

    def test_a_tag_on_a_pull_request(self, hub, publishable):
        with refused(hub, "cannot be tagged"):
            publish(publishable, REPO, create_pr=True, tag="v1")


class TestBadTimes:
    def test_a_token_that_may_only_read(self, hub, publishable):
        with pytest.raises(HubError, match="write access"):
            publish(publishable, REPO, token=hub.read_token)

    def test_a_token_that_is_not_valid(self, hub, publishable):
        with pytest.raises((HubError, ModelNotFoundError), match="token"):
            publish(publishable, REPO, token="hf_wrong")

    @pytest.mark.parametrize("path", ["/commit/", "preupload", "lfs/objects/batch", "repos/create"])
    def test_a_hub_that_fails_leaves_all_as_it_was(self, hub, publishable, waits, path):
        with hub.fault(path=path, status=500), pytest.raises(HubError, match="Try again later"):
            publish(publishable, REPO, tag="v1")
        assert REPO not in hub.store.repositories or hub.files(REPO) == {}
        publish(publishable, REPO, tag="v1")
        assert sorted(hub.files(REPO)) == FILES

    def test_an_answer_that_is_lost_is_no_second_commit(self, hub, publishable):
        with hub.fault(path="/commit/", cut_after=0, times=1), pytest.raises(HubError, match="Try again"):
            publish(publishable, REPO)
        assert publish(publishable, REPO, tag="v1").url is None
        assert len(hub.commits(REPO)) == 2

    def test_somebody_else_was_faster(self, hub, publishable, monkeypatch):
        publish(publishable, REPO)
        real = Remote.create

        def slow(self, private):
            hub.add(REPO, {"other.txt": b"1"})
            real(self, private)

        monkeypatch.setattr(Remote, "create", slow)
        with pytest.raises(HubError, match="changed the repository in the meantime"):
            publish(publishable, REPO, trained_by="somebody else")

    def test_what_comes_back_is_compared(self, hub, publishable):
        with (
            hub.fault(path="model.safetensors", method="GET", wrong_bytes=True),
            pytest.raises((FingerprintError, HubError)),
        ):
            publish(publishable, REPO, tag="v1")
        assert not hub.tags(REPO), "what is not verified gets no tag"

    def test_the_tag_names_what_was_verified_whatever_came_after(self, hub, publishable, monkeypatch):
        def followed(self, *arguments, **options):
            done = real(self, *arguments, **options)
            hub.add(REPO, {"other.txt": b"1"})
            return done

        real = Remote.commit
        monkeypatch.setattr(Remote, "commit", followed)
        report = publish(publishable, REPO, tag="v1")
        assert hub.tags(REPO) == {"v1": report.commit}

    def test_every_file_that_comes_back_is_compared(self, hub, publishable, monkeypatch):
        def garbled(self, contents, message, **options):
            return real(self, {**contents, "results.json": b"{}"}, message, **options)

        real = Remote.commit
        monkeypatch.setattr(Remote, "commit", garbled)
        with pytest.raises(FingerprintError, match=r"does not hold what was sent: results\.json"):
            publish(publishable, REPO, tag="v1")
        assert not hub.tags(REPO)
