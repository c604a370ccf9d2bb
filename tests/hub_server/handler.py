"""HTTP: requests off the socket, answers onto it, faults in between."""

import socket
import struct
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from tests.hub_server.answer import Answer, Call, Request, as_error
from tests.hub_server.faults import Fault
from tests.hub_server.routes import find
from tests.hub_server.store import HubError

if TYPE_CHECKING:
    from tests.hub_server.server import HubServer


class Handler(BaseHTTPRequestHandler):
    """One connection, which stays open from request to request. Subclasses say which `hub` they serve."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    hub: "HubServer"

    def do_GET(self) -> None:
        target = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, unquote(target.path), target.query, headers, self._read_body())
        self.hub.requests.append(request)
        faults = self.hub.faults.take(request.method, request.path)
        if any(self._wait(fault.latency) or fault.drop for fault in faults):
            self.close_connection = True
            return
        answer = self._failure(faults) or self._answer(request, target.path)
        for fault in faults:
            answer = fault.damage(answer, head=request.method == "HEAD")
        request.status = answer.status
        self._send(answer, faults)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    def _wait(self, seconds: float) -> bool:
        """Do nothing for a while; true if the server closed in the meantime."""
        return seconds > 0 and self.hub.closing.wait(seconds)

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _failure(self, faults: list[Fault]) -> Answer | None:
        for fault in faults:
            if fault.status is not None:
                later = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
                return as_error(HubError(fault.status, None, "A fault that the test has set.", later))
        return None

    def _answer(self, request: Request, quoted_path: str) -> Answer:
        try:
            if request.has_token and request.token not in (self.hub.token, self.hub.read_token):
                raise HubError(401, None, "Invalid credentials in Authorization header")
            found = find(request.method, quoted_path)
            if found is None:
                raise HubError(501, None, f"hub_server does not serve {request.method} {request.path}")
            function, names = found
            may_write = request.token == self.hub.token
            call = Call(request, names, self.hub.store, self.hub.endpoint, self.hub.user, may_write)
            with self.hub.store.lock:
                return function(call)
        except HubError as error:
            return as_error(error)
        except Exception as error:  # a mistake in the server: the test that met it must not pass
            self.hub.mistakes.append(error)
            return as_error(HubError(501, None, f"hub_server failed: {error!r}"))

    def _send(self, answer: Answer, faults: list[Fault]) -> None:
        body = b"" if self.command == "HEAD" else answer.body
        cuts = [fault for fault in faults if fault.cut_after is not None and fault.cut_after < len(body)]
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(body[: min((fault.cut_after for fault in cuts), default=len(body))])
        if cuts:
            self.close_connection = True
        if any(fault.reset for fault in cuts):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()  # with this option, closing sends a reset

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        if self.hub.verbose:
            super().log_message(format, *arguments)
