"""The fixture `hub`: a server, and this process's huggingface_hub client pointed at it.

huggingface_hub reads the environment once, when `huggingface_hub.constants` is imported; most modules look there when
they are called, some copied a constant, and `hf_api.api`, whose methods are the functions of the package, copied the
endpoint. So the fixture sets the environment, evaluates `constants.py` afresh, and puts each value that differs
wherever huggingface_hub holds one of that name. After the test everything is put back and the client's session closed,
so that no socket outlives a test.
"""

import os
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub_server.server import HubServer

READ_BY_THE_CLIENT = ("HF_", "HUGGING", "TRANSFORMERS_OFFLINE", "DISABLE_TELEMETRY", "DO_NOT_TRACK")


def point_client_at(server: HubServer, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let huggingface_hub, here and in processes started from here, know `server` and `home` and nothing else."""
    import huggingface_hub.hf_api as hf_api
    from huggingface_hub import constants
    from huggingface_hub.utils import _auth, _cache_assets, _cache_manager, _git_credential, _http, tqdm  # noqa: F401

    for name in [name for name in os.environ if name.startswith(READ_BY_THE_CLIENT)]:
        monkeypatch.delenv(name)
    for name, value in server.environment(home).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("no_proxy", os.environ["NO_PROXY"])

    fresh = runpy.run_path(constants.__file__)
    plain = {name for name, value in fresh.items() if isinstance(value, str | bool | int | frozenset | None)}
    plain = {name for name in plain & vars(constants).keys() if not name.startswith("__")}
    changed = {name: fresh[name] for name in plain if fresh[name] != getattr(constants, name)}
    for module in [module for name, module in sys.modules.items() if name.split(".")[0] == "huggingface_hub"]:
        for name in changed.keys() & vars(module).keys():
            monkeypatch.setattr(module, name, changed[name])
    monkeypatch.setattr(hf_api.api, "endpoint", server.endpoint)
    monkeypatch.setattr(hf_api.api, "_whoami_cache", {})
    monkeypatch.setattr(_http, "_HUB_ORIGINS", _http._HUB_ORIGINS | {_http._url_origin(server.endpoint)})
    monkeypatch.setattr(_auth, "_OAUTH_REFRESH_CACHE", None)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A Hub of this test's own, which huggingface_hub uses with a valid token and a cache under `tmp_path / "hf"`."""
    from huggingface_hub import close_session

    close_session()  # of a client that other tests have used
    with HubServer() as server:
        point_client_at(server, tmp_path / "hf", monkeypatch)
        yield server
        close_session()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that huggingface_hub waits before it tries again, written down here instead of waited."""
    from types import SimpleNamespace

    from huggingface_hub import file_download
    from huggingface_hub.utils import _http

    seconds: list[float] = []
    for module in (_http, file_download):
        monkeypatch.setattr(module, "time", SimpleNamespace(sleep=seconds.append))
    return seconds
