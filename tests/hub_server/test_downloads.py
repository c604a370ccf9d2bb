"""Downloads, through huggingface_hub and its cache."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import (
    HfApi,
    constants,
    file_exists,
    hf_hub_download,
    hf_hub_url,
    snapshot_download,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

WEIGHTS = bytes(range(256)) * 40
FILES = {"config.json": b'{"a": 1}', "model.safetensors": WEIGHTS, "sub/ü b.txt": b"text"}


@pytest.fixture
def sha(hub) -> str:
    return hub.add("me/model", FILES)


def contents(folder: str) -> dict[str, bytes]:
    paths = [path for path in Path(folder).rglob("*") if path.is_file()]
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    assert found.pop(".gitattributes")
    return found


def test_a_snapshot_is_what_was_committed(hub, sha):
    folder = snapshot_download("me/model")
    assert contents(folder) == FILES
    assert Path(folder).name == sha


def test_every_kind_of_revision_gives_its_own_files(hub, sha):
    api = HfApi()
    api.create_tag("me/model", tag="v1")
    api.create_branch("me/model", branch="dev/x")
    hub.add("me/model", {"config.json": b"2"}, revision="dev/x")
    hub.store.repositories["me/model"].open_pull("three")
    hub.add("me/model", {"config.json": b"3"}, revision="refs/pr/1")
    hub.add("me/model", {"config.json": b"4"})
    for revision, expected in {
        "v1": FILES["config.json"],
        sha: FILES["config.json"],
        sha[:8]: FILES["config.json"],
        "dev/x": b"2",
        "refs/pr/1": b"3",
        "main": b"4",
        None: b"4",
    }.items():
        path = hf_hub_download("me/model", "config.json", revision=revision)
        assert Path(path).read_bytes() == expected, revision


def test_a_cached_commit_needs_no_request(hub, sha):
    first = snapshot_download("me/model")
    hub.requests.clear()
    assert snapshot_download("me/model", revision=sha) == first
    assert hf_hub_download("me/model", "config.json", revision=sha) == f"{first}/config.json"
    assert hub.requests == []


def test_a_cached_branch_asks_what_it_is_but_sends_nothing_twice(hub, sha):
    path = hf_hub_download("me/model", "model.safetensors")
    hub.requests.clear()
    assert hf_hub_download("me/model", "model.safetensors") == path
    assert [request.method for request in hub.requests] == ["HEAD"]
    hub.add("me/model", {"other.txt": b"o"})  # another commit with the same weights
    moved = hf_hub_download("me/model", "model.safetensors")
    assert moved != path
    assert not hub.asked("model.safetensors", "GET")


def test_the_cache_serves_when_told_to_and_when_the_hub_is_gone(hub, sha, waits, monkeypatch):
    with pytest.raises(LocalEntryNotFoundError):
        hf_hub_download("me/model", "config.json", local_files_only=True)
    assert hub.requests == []
    path = hf_hub_download("me/model", "config.json")
    assert hf_hub_download("me/model", "config.json", local_files_only=True) == path
    assert try_to_load_from_cache("me/model", "config.json") == path
    assert try_to_load_from_cache("me/model", "model.safetensors") is None
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert hf_hub_download("me/model", "config.json") == path
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    hub.stop()
    assert hf_hub_download("me/model", "config.json") == path
    with pytest.raises(LocalEntryNotFoundError) as error:
        hf_hub_download("me/model", "model.safetensors")
    assert isinstance(error.value.__cause__, httpx2.ConnectError)


def test_what_is_missing_has_its_own_error(hub, sha):
    with pytest.raises(RepositoryNotFoundError):
        hf_hub_download("me/none", "config.json")
    with pytest.raises(RepositoryNotFoundError):
        hf_hub_download("resnet50", "config.json")
    with pytest.raises(RevisionNotFoundError):
        hf_hub_download("me/model", "config.json", revision="v9")
    with pytest.raises(RemoteEntryNotFoundError):
        hf_hub_download("me/model", "nothing.json")
    missing = Path(constants.HF_HUB_CACHE) / "models--me--model" / ".no_exist" / sha / "nothing.json"
    assert missing.exists(), "the client remembers that this commit lacks the file"
    assert file_exists("me/model", "config.json")
    assert not file_exists("me/model", "nothing.json")


def test_private_files_need_a_valid_token(hub):
    hub.add("me/secret", FILES, private=True)
    with pytest.raises(RepositoryNotFoundError):
        hf_hub_download("me/secret", "config.json", token=False)
    path = hf_hub_download("me/secret", "config.json", token=hub.read_token)
    assert Path(path).read_bytes() == FILES["config.json"]
    assert [request.token for request in hub.requests] == [None, hub.read_token, hub.read_token]


def test_a_local_folder_instead_of_the_cache(hub, sha, tmp_path):
    folder = snapshot_download("me/model", local_dir=tmp_path / "here", allow_patterns=["*.json", "*.safetensors"])
    assert (Path(folder) / "model.safetensors").read_bytes() == WEIGHTS
    assert not (Path(folder) / "sub").exists()


def test_ranges_of_bytes(hub, sha):
    url = hf_hub_url("me/model", "model.safetensors")
    for wanted, expected in {"0-9": WEIGHTS[:10], "10000-": WEIGHTS[10000:], "-7": WEIGHTS[-7:]}.items():
        answer = httpx2.get(url, headers={"Range": f"bytes={wanted}"})
        assert (answer.status_code, answer.content) == (206, expected)
        assert answer.headers["Content-Range"].endswith(f"/{len(WEIGHTS)}")
    assert httpx2.get(url, headers={"Range": "bytes=99999-"}).status_code == 416


def test_two_threads_download_one_file_once(hub, sha):
    def download(_: int) -> bytes:
        return Path(hf_hub_download("me/model", "model.safetensors")).read_bytes()

    with hub.fault("model.safetensors", method="GET", latency=0.2), ThreadPoolExecutor(2) as pool:
        assert list(pool.map(download, range(2))) == [WEIGHTS, WEIGHTS]
    assert len(hub.asked("model.safetensors", "HEAD")) == 2
    assert len(hub.asked("model.safetensors", "GET")) == 1


def test_one_slow_request_does_not_hold_up_another(hub, sha):
    with hub.fault("config.json", latency=30) as stuck, ThreadPoolExecutor(1) as pool:
        slow = pool.submit(hf_hub_download, "me/model", "config.json")
        while not stuck.hits:
            time.sleep(0.01)
        assert Path(hf_hub_download("me/model", "model.safetensors")).read_bytes() == WEIGHTS
        assert not slow.done()
        hub.stop()
        with pytest.raises(httpx2.RemoteProtocolError, match="disconnected"):
            slow.result()
