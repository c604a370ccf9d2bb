"""Loading from a Hub on the loopback interface, by the real client, in good times and in bad."""

import logging

import pytest
import torch

from sslhsic_transfer import from_pretrained
from sslhsic_transfer.errors import (
    ConfigError,
    FingerprintError,
    HubError,
    ModelNotFoundError,
    SSLHSICError,
    WeightsError,
)
from tests.hub.conftest import REPO, contents


def cached(tmp_path, name):
    """The blob behind a cached file."""
    return next((tmp_path / "hf").rglob(f"snapshots/*/{name}"))


def same(encoder, folder):
    expected = from_pretrained(folder).state_dict()
    return all(torch.equal(value, expected[name]) for name, value in encoder.state_dict().items())


class TestGoodTimes:
    def test_fetches_the_two_files_and_nothing_else(self, hub, repo, model_folder):
        assert same(from_pretrained(REPO), model_folder)
        assert {r.path.rpartition("/")[2] for r in hub.asked(method="GET")} == {"config.json", "model.safetensors"}

    def test_a_second_load_asks_for_what_is_new_only(self, hub, repo):
        from_pretrained(REPO)
        hub.requests.clear()
        from_pretrained(REPO)
        assert [(r.method, r.path.rpartition("/")[2]) for r in hub.requests] == [("HEAD", "config.json")]

    def test_a_commit_in_the_cache_asks_for_nothing(self, hub, repo):
        from_pretrained(REPO, revision=repo)
        hub.requests.clear()
        from_pretrained(f"{REPO}@{repo}")
        assert not hub.requests

    @pytest.mark.parametrize("name", [f"hf-hub:{REPO}", f"{REPO}@main", f"hf_hub:{REPO}@main"])
    def test_all_ways_to_write_a_name(self, hub, repo, name):
        assert from_pretrained(name).feature_dim == 512

    def test_tags_branches_and_commits(self, hub, repo, tmp_path, model_folder):
        from huggingface_hub import HfApi

        HfApi().create_tag(REPO, tag="v1", revision=repo)
        hub.add(REPO, {"config.json": b"not any more"})
        for revision in ("v1", repo):
            assert same(from_pretrained(REPO, revision=revision), model_folder)
        with pytest.raises(ConfigError, match="not JSON"):
            from_pretrained(REPO)

    def test_a_new_commit_of_the_same_weights(self, hub, repo, model_folder):
        """The cache holds the files' content then, but not yet under the new commit."""
        from_pretrained(REPO)
        commit = hub.add(REPO, {"README.md": b"# Another card"})
        hub.requests.clear()
        assert same(from_pretrained(REPO), model_folder)
        assert not hub.asked("model.safetensors", "GET"), "what is there is not fetched again"
        assert same(from_pretrained(f"{REPO}@{commit}", local_files_only=True), model_folder)

    def test_offline_after_a_first_load(self, hub, repo, model_folder, monkeypatch):
        from_pretrained(REPO)
        hub.requests.clear()
        assert same(from_pretrained(REPO, local_files_only=True), model_folder)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        assert same(from_pretrained(REPO), model_folder)
        assert not hub.requests
        hub.stop()
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        assert same(from_pretrained(REPO), model_folder), "a Hub that is gone does not matter"

    def test_the_cache_is_where_it_is_asked_for(self, hub, repo, tmp_path):
        from_pretrained(REPO, cache_dir=tmp_path / "elsewhere")
        assert list((tmp_path / "elsewhere").rglob("model.safetensors"))
        assert not list((tmp_path / "hf").rglob("model.safetensors"))

    def test_where_and_as_what(self, hub, repo):
        encoder = from_pretrained(REPO, dtype=torch.float64, device="cpu")
        assert encoder.conv1.weight.dtype == torch.float64

    def test_the_token_reaches_every_request_of_a_private_repository(self, hub, model_folder, monkeypatch):
        hub.add(REPO, contents(model_folder), private=True)
        monkeypatch.delenv("HF_TOKEN")
        with pytest.raises(ModelNotFoundError, match="private"):
            from_pretrained(REPO)
        hub.requests.clear()
        from_pretrained(REPO, token=hub.read_token)
        assert hub.requests
        assert all(request.has_token for request in hub.requests)

    def test_no_token_where_none_is_wanted(self, hub, repo):
        from_pretrained(REPO, token=False)
        assert not any(request.has_token for request in hub.requests)

    def test_a_folder_of_that_name_is_not_used_and_that_is_said(self, hub, repo, monkeypatch, tmp_path, caplog):
        (tmp_path / REPO).mkdir(parents=True)
        monkeypatch.chdir(tmp_path)
        assert from_pretrained(REPO).feature_dim == 512
        assert f"write ./{REPO} to mean that" in caplog.text
        (tmp_path / "tester/other").mkdir()
        with pytest.raises(ModelNotFoundError, match=r"To load the folder here, write '\./tester/other'"):
            from_pretrained("tester/other")


class TestBadTimes:
    def test_what_is_not_there(self, hub, repo):
        with pytest.raises(ModelNotFoundError, match=r"no repository tester/none.*Check the name"):
            from_pretrained("tester/none")
        with pytest.raises(ModelNotFoundError, match="no such revision"):
            from_pretrained(REPO, revision="v9")
        hub.add("tester/other", {"pytorch_model.bin": b""})
        with pytest.raises(ModelNotFoundError, match=r"has no config.json.*sslhsic convert"):
            from_pretrained("tester/other")

    def test_gated(self, hub, repo):
        hub.gate(REPO)
        with pytest.raises(HubError, match="accept its terms"):
            from_pretrained(REPO)

    def test_offline_without_a_first_load(self, hub, repo):
        with pytest.raises(ModelNotFoundError, match=r"not in the cache.*Load it once online"):
            from_pretrained(REPO, local_files_only=True)
        assert not hub.requests

    def test_no_hub_at_all(self, hub, repo, waits):
        hub.stop()
        with pytest.raises(HubError, match=r"connection to the Hub failed.*Check the network"):
            from_pretrained(REPO)

    @pytest.mark.parametrize(("status", "advice"), [(429, "Wait some minutes"), (500, "Try again later"), (503, "503")])
    @pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
    def test_a_hub_that_refuses(self, hub, repo, waits, status, advice, name):
        with hub.fault(path=name, status=status), pytest.raises(HubError, match=advice):
            from_pretrained(REPO)
        assert from_pretrained(REPO).feature_dim == 512

    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_a_hub_that_refuses_once(self, hub, repo, waits, status):
        with hub.fault(path="model.safetensors", status=status, times=1) as fault:
            assert from_pretrained(REPO).feature_dim == 512
        assert fault.hits == 1

    def test_a_slow_hub(self, hub, repo):
        with hub.fault(latency=0.3):
            assert from_pretrained(REPO).feature_dim == 512

    def test_a_hub_that_does_not_answer(self, hub, repo, waits, monkeypatch, model_folder):
        from huggingface_hub import constants, file_download

        for module, name in [
            (constants, "HF_HUB_ETAG_TIMEOUT"),
            (constants, "HF_HUB_DOWNLOAD_TIMEOUT"),
            (file_download, "_ETAG_RETRY_TIMEOUT"),
        ]:
            monkeypatch.setattr(module, name, 0.1)
        with hub.fault(latency=1), pytest.raises(HubError, match=r"connection to the Hub failed.*Timeout"):
            from_pretrained(REPO)
        from_pretrained(REPO)
        with hub.fault(latency=1):
            assert same(from_pretrained(REPO), model_folder), "the cache serves"

    @pytest.mark.parametrize("reset", [False, True])
    def test_a_connection_that_breaks_midway_is_taken_up(self, hub, repo, waits, reset, model_folder):
        with hub.fault(path="model.safetensors", cut_after=1_000_000, reset=reset, times=1):
            assert same(from_pretrained(REPO), model_folder)

    def test_a_hub_that_hangs_up_before_it_answers(self, hub, repo, model_folder):
        with hub.fault(drop=True, times=2):
            assert same(from_pretrained(REPO), model_folder)
        with hub.fault(drop=True):
            assert same(from_pretrained(REPO), model_folder), "the cache serves"
            with pytest.raises(HubError, match="connection to the Hub failed"):
                from_pretrained("tester/other")

    def test_a_connection_that_breaks_for_good(self, hub, repo, waits, model_folder):
        with (
            hub.fault(path="model.safetensors", cut_after=1_000_000),
            pytest.raises(HubError, match=r"[Tt]ry again"),
        ):
            from_pretrained(REPO)
        assert len(hub.asked("model.safetensors", "HEAD")) == 1 + 3, "its size, then each of three tries"
        assert same(from_pretrained(REPO), model_folder)

    def test_other_bytes_than_announced(self, hub, repo, waits):
        with (
            hub.fault(path="model.safetensors", method="GET", wrong_bytes=True),
            pytest.raises((HubError, WeightsError)),
        ):
            from_pretrained(REPO)
        assert from_pretrained(REPO).feature_dim == 512

    def test_an_absurd_size_is_not_fetched(self, hub, repo):
        hub.add(REPO, {"model.safetensors": bytes(200_000_000)})
        hub.requests.clear()
        with pytest.raises(HubError, match=r"200000000 bytes.*not fetched"):
            from_pretrained(REPO)
        assert not hub.asked("model.safetensors", "GET")
        hub.add(REPO, {"config.json": b"{" + bytes(2_000_000)})
        with pytest.raises(HubError, match=r"config.json.*2000001 bytes"):
            from_pretrained(REPO)

    @pytest.mark.parametrize("damage", [lambda data: data[:1000], lambda data: data[:-1] + b"x", lambda data: b""])
    def test_a_damaged_cache_entry_is_fetched_anew(self, hub, repo, tmp_path, damage, caplog, model_folder):
        from_pretrained(REPO)
        blob = cached(tmp_path, "model.safetensors").resolve()
        blob.write_bytes(damage(blob.read_bytes()))
        with pytest.raises(WeightsError):
            from_pretrained(REPO, local_files_only=True)
        assert same(from_pretrained(REPO), model_folder)
        assert "fetched anew" in caplog.text

    @pytest.mark.parametrize("weights_too", [True, False])
    def test_a_damaged_config_is_fetched_anew(self, hub, repo, tmp_path, caplog, weights_too, model_folder):
        from_pretrained(REPO)
        cached(tmp_path, "config.json").resolve().write_bytes(b"")
        if not weights_too:
            cached(tmp_path, "model.safetensors").unlink()
        with pytest.raises(SSLHSICError):
            from_pretrained(REPO, local_files_only=True)
        assert same(from_pretrained(REPO), model_folder)
        assert "fetched anew" in caplog.text

    def test_damaged_and_the_hub_is_gone(self, hub, repo, tmp_path, waits):
        from_pretrained(REPO)
        blob = cached(tmp_path, "model.safetensors").resolve()
        blob.write_bytes(blob.read_bytes()[:-1] + b"x")
        hub.stop()
        with pytest.raises(FingerprintError, match="could not be fetched anew"):
            from_pretrained(REPO)

    def test_weights_that_config_does_not_describe(self, hub, repo, model_folder):
        data = contents(model_folder)["model.safetensors"]
        hub.add(REPO, {"model.safetensors": data[:-1] + bytes([data[-1] ^ 1])})
        with pytest.raises(FingerprintError, match="SHA-256"):
            from_pretrained(REPO)

    def test_a_link_out_of_the_cache_is_not_read(self, hub, repo, tmp_path):
        from_pretrained(REPO)
        secret = tmp_path / "secret.json"
        secret.write_text("{}")
        link = cached(tmp_path, "config.json")
        link.unlink()
        link.symlink_to(secret)
        with pytest.raises(HubError, match=r"outside of the cache.*delete the link"):
            from_pretrained(REPO, local_files_only=True)

    def test_a_token_is_never_told(self, hub, repo, waits, caplog):
        secret = "hf_" + "s3cret" * 5
        with caplog.at_level(logging.DEBUG), pytest.raises((ModelNotFoundError, HubError)) as caught:
            from_pretrained("tester/none", token=secret)
        with caplog.at_level(logging.DEBUG), hub.fault(status=500), pytest.raises(HubError) as second:
            from_pretrained(REPO, token=secret)
        chain = [caught.value, second.value]
        while chain:
            error = chain.pop()
            assert secret not in str(error)
            chain += [e for e in (error.__cause__, error.__context__) if e]
        assert secret not in caplog.text
