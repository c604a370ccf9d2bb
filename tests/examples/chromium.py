"""A headless Chromium and the few commands of its DevTools protocol that a test needs.

Commands and answers are JSON between two pipes, each closed by a zero byte: no port, no WebSocket, no package.
"""

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_FLAGS = (
    "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
    "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--window-size=1100,900",
)  # fmt: skip
# Chromium reads commands from file descriptor 3 and answers on 4; by way of 103 and 104, as 3 may be one of ours.
_AT_3_AND_4 = """
import os, sys
for number in (1, 2):
    os.dup2(int(sys.argv[number]), number + 102, inheritable=False)
for number in (3, 4):
    os.dup2(number + 100, number)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Page:
    """One tab of the browser.

    Attributes:
        events: what the browser told without being asked, oldest first: requests, the console, exceptions.
    """

    def __init__(self, commands: int, answers: int, timeout: float) -> None:
        self.events: list[dict[str, Any]] = []
        self._commands, self._answers, self._timeout = commands, answers, timeout
        self._session: dict[str, str] = {}
        self._number = 0
        self._rest = b""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = {"sessionId": self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        for domain in ("Page", "Runtime", "Network", "DOM", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Run a command and wait for its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters, **self._session}
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, f"{method}: {answer['error']['message']}"
        return answer["result"]

    def run(self, code: str) -> Any:
        """The value of an expression of JavaScript; a promise is waited for."""
        found = self.send("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + self._timeout
        while not self.run(condition):
            assert time.monotonic() < end, f"{condition} stays false. {self.complaints()}"
            time.sleep(0.05)

    def choose(self, selector: str, file: Path) -> None:
        """Choose a file in an ``<input type=file>``, as a user does."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(file)])

    def told(self, method: str) -> list[dict[str, Any]]:
        """The parameters of all events of a kind."""
        return [event["params"] for event in self.events if event.get("method") == method]

    def complaints(self) -> list[str]:
        """Exceptions, and errors and warnings of the console."""
        thrown = [event["exceptionDetails"].get("exception", {}) for event in self.told("Runtime.exceptionThrown")]
        logged = [event["entry"]["text"] for event in self.told("Log.entryAdded")]
        called = [event for event in self.told("Runtime.consoleAPICalled") if event["type"] in ("error", "warning")]
        return [error.get("description", "") for error in thrown] + logged + [str(event["args"]) for event in called]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            assert select.select([self._answers], [], [], self._timeout)[0], "Chromium does not answer"
            part = os.read(self._answers, 1 << 16)
            assert part, "Chromium has ended"
            self._rest += part
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)


@contextlib.contextmanager
def open_page(program: str, timeout: float = 60) -> Iterator[Page]:
    """A tab of a fresh Chromium, which ends with the context.

    Args:
        program: the executable.
        timeout: seconds for each command.
    """
    (theirs_in, commands), (answers, theirs_out) = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        arguments = [program, *_FLAGS, f"--user-data-dir={home}/profile", "about:blank"]
        process = subprocess.Popen(
            [sys.executable, "-c", _AT_3_AND_4, str(theirs_in), str(theirs_out), *arguments],
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"HOME": home},
        )
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            page = Page(commands, answers, timeout)
            yield page
            page._session = {}
            page.send("Browser.close")
            process.wait(20)
        finally:
            process.kill()
            process.wait()
            os.close(commands)
            os.close(answers)
