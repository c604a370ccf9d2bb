"""Each fault, and what huggingface_hub makes of it: the ground on which our own downloads and uploads stand."""

from pathlib import Path

import httpx2
import pytest
from huggingface_hub import CommitOperationAdd, HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

WEIGHTS = bytes(range(256)) * 40
BACKOFF = [1, 2, 4, 8, 8]


@pytest.fixture(autouse=True)
def model(hub, waits) -> None:
    hub.add("me/model", {"config.json": b"{}", "model.safetensors": WEIGHTS})


def download(**options) -> bytes:
    return Path(hf_hub_download("me/model", "model.safetensors", **options)).read_bytes()


def cached_files() -> list[str]:
    folder = Path(constants.HF_HUB_CACHE) / "models--me--model"
    return [path.name for name in ("blobs", "snapshots") for path in (folder / name).rglob("*") if path.is_file()]


def test_a_fault_meets_what_it_names_as_often_as_it_says(hub):
    url = f"{hub.endpoint}/me/model/resolve/main"
    with hub.fault("config.json", method="GET", times=2, status=503) as fault:
        assert httpx2.get(f"{url}/model.safetensors").status_code == 200
        assert httpx2.head(f"{url}/config.json").status_code == 200
        assert [httpx2.get(f"{url}/config.json").status_code for _ in range(3)] == [503, 503, 200]
        assert fault.hits == 2
    with hub.fault("config.json", status=500):
        assert [httpx2.get(f"{url}/config.json").status_code for _ in range(3)] == [500, 500, 500]
    assert httpx2.get(f"{url}/config.json").status_code == 200
    hub.fault(status=500)
    hub.clear_faults()
    assert httpx2.get(f"{url}/config.json").status_code == 200


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_error_while_asking_what_the_file_is_is_tried_again(hub, waits, status):
    with hub.fault(method="HEAD", status=status, times=3):
        assert download() == WEIGHTS
    assert waits == [1, 2]  # the first error is followed by a look into the cache instead


def test_a_lasting_error_says_not_found_locally_and_why(hub, waits):
    with hub.fault(method="HEAD", status=500), pytest.raises(LocalEntryNotFoundError) as error:
        download()
    assert error.value.__cause__.response.status_code == 500
    assert waits == BACKOFF


@pytest.mark.parametrize("trouble", [{"status": 429}, {"status": 500}, {"latency": 1.0}], ids=str)
def test_a_cached_file_survives_errors_and_time_outs(hub, waits, monkeypatch, trouble):
    download()
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.1)
    with hub.fault(**trouble) as fault:
        assert download() == WEIGHTS
    assert (fault.hits, waits) == (1, [])


def test_a_cached_file_does_not_survive_a_dropped_connection(hub):
    """Only refused connections and time-outs count as being offline for the client."""
    download()
    with hub.fault(drop=True), pytest.raises(httpx2.RemoteProtocolError):
        download()


def test_rate_limits_are_waited_for_as_the_server_says(hub, waits):
    with hub.fault(method="GET", status=429, retry_after=7, times=1):
        assert download() == WEIGHTS
    assert waits == [8]
    assert [request.status for request in hub.asked("model.safetensors", "GET")] == [429, 200]


def test_a_lasting_rate_limit_is_raised(hub, waits):
    with hub.fault(method="GET", status=429, retry_after=7), pytest.raises(HfHubHTTPError, match="429") as error:
        download()
    assert error.value.response.headers["Retry-After"] == "7"
    assert waits == [8] * 5


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_error_of_the_download_itself_is_not_tried_again(hub, waits, status):
    with hub.fault(method="GET", status=status, times=1), pytest.raises(HfHubHTTPError) as error:
        download()
    assert error.value.response.status_code == status
    assert waits == []


def test_a_cut_download_goes_on_where_a_chunk_ended(hub, monkeypatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    with hub.fault("model.safetensors", cut_after=2500, times=1):
        assert download() == WEIGHTS
    ranges = [request.headers.get("range") for request in hub.asked("model.safetensors", "GET")]
    assert ranges == [None, "bytes=2000-"]


def test_a_cut_within_the_first_chunk_starts_again(hub, waits):
    with hub.fault("model.safetensors", cut_after=2500, times=1):
        assert download() == WEIGHTS
    assert [request.headers.get("range") for request in hub.asked("model.safetensors", "GET")] == [None, None]
    assert waits == [1]


def test_a_download_that_is_always_cut_leaves_nothing_behind(hub, waits):
    with hub.fault("model.safetensors", cut_after=100), pytest.raises(httpx2.RemoteProtocolError):
        download()
    assert len(waits) == 5
    assert cached_files() == []
    assert download() == WEIGHTS


def test_a_reset_connection_is_not_tried_again(hub, waits):
    fault = hub.fault("model.safetensors", cut_after=100, reset=True, times=1)
    with pytest.raises(httpx2.ReadError):
        download()
    assert (fault.hits, waits, cached_files()) == (1, [], [])


def test_wrong_bytes_go_unnoticed_into_the_cache(hub):
    with hub.fault("model.safetensors", wrong_bytes=True, times=1):
        wrong = download()
    assert (len(wrong), wrong[:-1], wrong != WEIGHTS) == (len(WEIGHTS), WEIGHTS[:-1], True)
    assert download() == wrong
    assert [mismatch["path"] for mismatch in HfApi().verify_repo_checksums("me/model").mismatches] == [
        "model.safetensors"
    ]
    assert download(force_download=True) == WEIGHTS
    assert not HfApi().verify_repo_checksums("me/model").mismatches


def test_a_wrong_etag_goes_unnoticed(hub):
    with hub.fault("model.safetensors", wrong_etag=True):
        path = Path(hf_hub_download("me/model", "model.safetensors"))
    true_etag = hub.commits("me/model")[0].files["model.safetensors"].etag
    assert path.read_bytes() == WEIGHTS
    assert path.resolve().name == true_etag[::-1] != true_etag


def test_too_many_bytes_are_refused(hub):
    with hub.fault("model.safetensors", oversized=10), pytest.raises(OSError, match="should be of size 10240"):
        download()
    assert cached_files() == []


def test_a_slow_answer_times_out_and_is_tried_again(hub, waits, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.1)
    with hub.fault(method="GET", latency=0.3, times=1):
        assert download() == WEIGHTS
    assert waits == [1]


def test_a_snapshot_gives_up_at_the_first_error(hub, waits):
    with hub.fault("/api/models/", status=503, times=1), pytest.raises(LocalEntryNotFoundError, match="503"):
        snapshot_download("me/model")
    assert waits == []


def test_lfs_uploads_are_tried_again_and_commits_are_not(hub, waits):
    api = HfApi()

    def commit():
        addition = CommitOperationAdd("new.safetensors", b"new weights")
        return api.create_commit("me/model", [addition], commit_message="New")

    with hub.fault("/lfs/", method="PUT", status=500, times=2), hub.fault("/commit/", status=503, times=1):
        with pytest.raises(HfHubHTTPError, match="503"):
            commit()
        assert waits == [1, 2]
        assert commit().oid == hub.commits("me/model")[0].id
    assert len(hub.asked("/lfs/", "PUT")) == 3  # the second commit finds the content uploaded


def test_an_answer_may_get_lost_after_the_work_was_done(hub):
    api = HfApi()
    with hub.fault("/commit/", cut_after=0), pytest.raises(httpx2.RemoteProtocolError):
        api.create_commit("me/model", [CommitOperationAdd("a.txt", b"a")], commit_message="A")
    assert hub.commits("me/model")[0].title == "A"
    with hub.fault("/commit/", drop=True), pytest.raises(httpx2.RemoteProtocolError):
        api.create_commit("me/model", [CommitOperationAdd("b.txt", b"b")], commit_message="B")
    assert hub.commits("me/model")[0].title == "A"
