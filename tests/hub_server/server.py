"""The server: a context manager around a listening socket, and what tests ask of it."""

import contextlib
import socket
import sys
import threading
from collections.abc import Mapping
from http.server import ThreadingHTTPServer
from pathlib import Path

from tests.hub_server.answer import Request
from tests.hub_server.faults import Fault, Faults
from tests.hub_server.handler import Handler
from tests.hub_server.store import Blob, Commit, Store, is_lfs


class _Listener(ThreadingHTTPServer):
    """A listener that knows its open connections, so that closing leaves no thread and no socket behind."""

    daemon_threads = False  # closing waits for them

    def __init__(self, port: int, hub: "HubServer"):
        self.connections: set[socket.socket] = set()
        self.hub = hub
        super().__init__(("127.0.0.1", port), type("HubHandler", (Handler,), {"hub": hub}))

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        self.connections.add(connection)
        return connection, address

    def close_request(self, request: socket.socket) -> None:
        self.connections.discard(request)
        super().close_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        error = sys.exception()
        if isinstance(error, Exception) and not isinstance(error, ConnectionError):
            self.hub.mistakes.append(error)  # a client that hangs up is none

    def hang_up(self) -> None:
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class HubServer:
    """A Hub for one test, on a free port of the loopback interface.

    `token` may do everything, `read_token` may read; any other is refused as invalid. `user` is who both belong to.
    `requests` is the log. Leaving the context raises the first mistake that the server itself made.
    """

    def __init__(self, port: int = 0, *, verbose: bool = False):
        self.token, self.read_token, self.user = "hf_of_the_tests", "hf_of_a_reader", "tester"
        self.verbose = verbose
        self.requests: list[Request] = []
        self.mistakes: list[Exception] = []
        self.store, self.faults, self.closing = Store(), Faults(), threading.Event()
        self._listener = _Listener(port, self)
        self.endpoint = f"http://127.0.0.1:{self._listener.server_port}"
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.02,), name="hub-server")

    def __enter__(self) -> "HubServer":
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        self.stop()
        if kind is None and self.mistakes:
            raise self.mistakes[0]

    def stop(self) -> None:
        """Close everything: from now on connections are refused, as if there were no Hub."""
        if self.closing.is_set():
            return
        self.closing.set()
        self._listener.shutdown()
        self._thread.join()
        self._listener.hang_up()
        self._listener.server_close()

    def environment(self, home: Path) -> dict[str, str]:
        """Return variables that bring a process to this Hub and keep all its files in `home`."""
        return {
            "HF_ENDPOINT": self.endpoint,
            "HF_TOKEN": self.token,
            "HF_HOME": str(home),
            "HF_HUB_CACHE": str(home / "hub"),
            "HF_ASSETS_CACHE": str(home / "assets"),
            "HF_XET_CACHE": str(home / "xet"),
            "HF_TOKEN_PATH": str(home / "token"),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_HUB_DISABLE_IMPLICIT_TOKEN": "0",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_OIDC_RESOURCE": "",
            "HF_DEBUG": "0",
            "NO_PROXY": "127.0.0.1,localhost",
        }

    def fault(self, path: str = "", **trouble: object) -> Fault:
        """Make trouble, see `Fault`: `with server.fault(path="model.safetensors", cut_after=1000, times=1): …`."""
        return self.faults.add(Fault(path, **trouble))

    def clear_faults(self) -> None:
        self.faults.clear()

    def asked(self, path: str = "", method: str | None = None) -> list[Request]:
        """The requests whose path contains `path`."""
        return [r for r in list(self.requests) if path in r.path and method in (None, r.method)]

    def add(
        self,
        repo_id: str,
        files: Mapping[str, bytes],
        *,
        private: bool | None = None,
        revision: str = "main",
        message: str = "Add files",
    ) -> str:
        """Commit files without the client, in a repository that is made if need be. Returns the commit's id."""
        with self.store.lock:
            repository = self.store.repositories.get(repo_id) or self.store.create(repo_id)
            repository.private = repository.private if private is None else private
            blobs = {path: Blob(content, is_lfs(path, len(content))) for path, content in files.items()}
            self.store.uploads |= {blob.sha256: blob.content for blob in blobs.values() if blob.lfs}
            there = repository.resolve(revision).files
            return repository.commit(revision, {**there, **blobs}, message).id

    def gate(self, repo_id: str, gated: bool = True) -> None:
        """Let nobody download from a repository, whatever the token."""
        self.store.repositories[repo_id].gated = gated

    def files(self, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        """All files of a revision; `.gitattributes`, which the Hub adds to every repository, is left out."""
        commit = self.store.repositories[repo_id].resolve(revision)
        return {path: blob.content for path, blob in commit.files.items() if path != ".gitattributes"}

    def commits(self, repo_id: str, revision: str = "main") -> list[Commit]:
        """The history, newest first; the last one is the Hub's own initial commit."""
        return list(self.store.repositories[repo_id].resolve(revision).history())

    def tags(self, repo_id: str) -> dict[str, str]:
        """Tags and the ids of their commits."""
        return {tag: commit.id for tag, commit in self.store.repositories[repo_id].tags.items()}
