"""Faults of the Hub that a test can ask for."""

import threading
from dataclasses import dataclass, field

from tests.hub_server.answer import Answer


@dataclass(eq=False)
class Fault:
    """One kind of trouble for the requests that match. A context manager: on leaving, the trouble ends.

    Which requests: those whose unquoted path contains `path`, of one `method` or all; the first `times` of them, or all
    until `clear()`. `hits` counts them. Trouble with a body passes HEAD requests by.

    Before anything is done: `latency` in seconds; `drop` closes the connection without an answer; `status` answers with
    that error, with `retry_after` in seconds.
    Afterwards, so that an upload or a commit has happened: `cut_after` closes the connection after that many bytes of
    the body, which Content-Length says is longer (0: the answer is lost), in good order, as a server does that stops,
    or with `reset` rudely, as a network does that fails; `wrong_bytes` flips the body's last byte; `oversized` appends
    that many bytes; `wrong_etag` announces the hash of other content.
    """

    path: str = ""
    method: str | None = None
    times: int | None = None
    latency: float = 0.0
    drop: bool = False
    status: int | None = None
    retry_after: int | None = None
    cut_after: int | None = None
    reset: bool = False
    wrong_bytes: bool = False
    oversized: int = 0
    wrong_etag: bool = False
    hits: int = 0
    cleared: bool = field(default=False, init=False)

    @property
    def only_bodies(self) -> bool:
        """Tell whether the fault concerns bodies only."""
        elsewhere = self.latency or self.drop or self.status or self.wrong_etag
        return not elsewhere and (self.cut_after is not None or self.wrong_bytes or self.oversized > 0)

    def matches(self, method: str, path: str) -> bool:
        if self.cleared or (self.times is not None and self.hits >= self.times):
            return False
        if self.only_bodies and method == "HEAD":
            return False
        return self.method in (None, method) and self.path in path

    def clear(self) -> None:
        self.cleared = True

    def __enter__(self) -> "Fault":
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()

    def damage(self, answer: Answer, *, head: bool = False) -> Answer:
        """The answer as this fault lets it out; with `head` its body stays here."""
        body, headers = answer.body, dict(answer.headers)
        if self.wrong_bytes and body:
            body = body[:-1] + bytes([body[-1] ^ 0xFF])
        if not head:
            body += bytes(self.oversized)
        if self.wrong_etag:
            for name in {"ETag", "X-Linked-ETag"} & headers.keys():
                headers[name] = headers[name][::-1]  # of the same length and alphabet, quotation marks included
        return Answer(answer.status, body, headers)


class Faults:
    """The faults that a test has set, in that order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> Fault:
        with self._lock:
            self._faults.append(fault)
        return fault

    def take(self, method: str, path: str) -> list[Fault]:
        """Return the faults that this request meets; it counts as one of their `times`."""
        with self._lock:
            met = [fault for fault in self._faults if fault.matches(method, path)]
            for fault in met:
                fault.hits += 1
            return met

    def clear(self) -> None:
        with self._lock:
            for fault in self._faults:
                fault.clear()
            self._faults.clear()
