"""The server as a whole: nothing of the user's is touched, nothing is left behind, it serves other processes, too."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx2
import huggingface_hub
import pytest
from huggingface_hub import constants, get_token, hf_hub_download

from tests.hub_server import HubServer
from tests.hub_server.fixture import point_client_at

ROOT = Path(__file__).parents[2]


def get(url: str) -> httpx2.Response:
    """Get an address without a proxy that the machine may have."""
    return httpx2.get(url, trust_env=False)


def values_held() -> dict[str, str]:
    """Every text that a module of the client holds."""
    modules = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "huggingface_hub"}
    return {f"{m}.{n}": v for m, module in modules.items() for n, v in vars(module).items() if isinstance(v, str)}


def test_the_client_knows_this_hub_and_nothing_of_the_users(hub, tmp_path):
    assert get_token() == hub.token
    assert hub.endpoint == constants.ENDPOINT == huggingface_hub.HfApi().endpoint
    for name in (
        "HF_HOME",
        "HF_HUB_CACHE",
        "HF_ASSETS_CACHE",
        "HF_XET_CACHE",
        "HF_TOKEN_PATH",
        "HF_STORED_TOKENS_PATH",
    ):
        held = {Path(text) for full_name, text in values_held().items() if full_name.endswith(f".{name}")}
        assert len(held) == 1, name
        assert held.pop().is_relative_to(tmp_path), name
    users = str(Path("~/.cache/huggingface").expanduser())
    assert not [name for name, text in values_held().items() if text.startswith(users)]
    official = {name.rpartition(".")[2] for name, text in values_held().items() if text == "https://huggingface.co"}
    assert official == {"_HF_DEFAULT_ENDPOINT"}
    assert huggingface_hub.whoami()["name"] == hub.user  # a function of the package, bound at its import


def test_everything_is_put_back(tmp_path):
    before, environment = values_held(), dict(os.environ)
    with HubServer() as server, pytest.MonkeyPatch.context() as monkeypatch:
        point_client_at(server, tmp_path, monkeypatch)
        assert values_held() != before
    assert {name: values_held()[name] for name in before} == before
    assert dict(os.environ) == environment


def test_closing_leaves_no_thread_and_no_connection():
    before = set(threading.enumerate())
    with HubServer() as server, httpx2.Client(trust_env=False) as client:
        assert client.get(f"{server.endpoint}/api/models").json() == []
        assert len(server._listener.connections) == 1  # kept for the next request
    assert not server._listener.connections
    assert set(threading.enumerate()) <= before
    with pytest.raises(httpx2.ConnectError):
        get(f"{server.endpoint}/api/models")


def test_a_mistake_in_the_server_fails_the_test():
    def serve() -> int:
        with HubServer() as server:
            server.store.repositories["me/model"] = None
            return get(f"{server.endpoint}/api/models").status_code

    with pytest.raises(AttributeError):
        serve()


def test_two_servers_know_nothing_of_one_another():
    with HubServer() as one, HubServer() as other:
        one.add("me/model", {"a.txt": b"a"})
        assert len(get(f"{one.endpoint}/api/models").json()) == 1
        assert get(f"{other.endpoint}/api/models").json() == []


def test_another_process_uses_it_by_environment(hub, tmp_path):
    hub.add("me/model", {"a.txt": b"a"}, private=True)
    home = tmp_path / "elsewhere"
    code = "from huggingface_hub import hf_hub_download; print(hf_hub_download('me/model', 'a.txt'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | hub.environment(home),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    path = Path(done.stdout.strip())
    assert (path.read_bytes(), path.is_relative_to(home)) == (b"a", True)
    assert [request.method for request in hub.requests] == ["HEAD", "GET"], "telemetry is off"
    assert hf_hub_download("me/model", "a.txt") != str(path)


def test_a_person_can_start_it(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a.txt").write_bytes(b"a")
    command = [sys.executable, "-m", "tests.hub_server", "--add", f"me/model={tmp_path / 'model'}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            exports = {}
            while (line := process.stdout.readline()).startswith("export "):
                name, _, value = line.removeprefix("export ").strip().partition("=")
                exports[name] = value
            answer = get(f"{exports['HF_ENDPOINT']}/me/model/resolve/main/a.txt")
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=20) == 0
        finally:
            process.kill()
        assert "/me/model/resolve/main/a.txt" in process.stderr.read()
    assert answer.content == b"a"
    assert not Path(exports["HF_HOME"]).exists()
