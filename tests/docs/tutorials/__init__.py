"""Tutorials as their readers run them: Python in one session, `sslhsic` on the command line, in the page's order."""

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

TUTORIALS = Path(__file__).parents[3] / "docs" / "tutorials"
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Tutorial:
    """A page that can be run, in the current folder.

    Args:
        name: of the page.
        command: runs `sslhsic` with arguments.
        budget: what the page says -> the same with less work: settings only, and each must be there.
        elsewhere: shell lines that are not `sslhsic …` and are not run: all of them, in order.

    Attributes:
        names: what the Python blocks have made.
        shown: what the commands have shown, one after the other.
    """

    def __init__(
        self,
        name: str,
        command: Callable[..., CompletedProcess[str]],
        *,
        budget: Mapping[str, str],
        elsewhere: Sequence[str],
    ) -> None:
        self.name = name
        self.names: dict[str, Any] = {}
        self.shown: list[str] = []
        self._command = command
        self._blocks: list[tuple[str, str]] = _BLOCK.findall((TUTORIALS / f"{name}.md").read_text(encoding="utf-8"))
        for said, small in budget.items():
            assert any(said in code for _, code in self._blocks), f"{name}.md does not say {said!r}"
            self._blocks = [(language, code.replace(said, small)) for language, code in self._blocks]
        assert {language for language, _ in self._blocks} <= {"python", "sh", "dockerfile"}
        lines = [line for language, code in self._blocks if language == "sh" for line in code.splitlines()]
        assert [line for line in lines if not line.startswith("sslhsic ")] == list(elsewhere)

    def run(self, until: str | None = None) -> None:
        """Run what has not been run yet, up to the block that has ``until`` in it, if that is given."""
        assert until is None or any(until in code for _, code in self._blocks)
        while self._blocks and not (until and until in self._blocks[0][1]):
            language, code = self._blocks.pop(0)
            if language == "python":
                exec(compile(code, f"{self.name}.md", "exec"), self.names)
            elif language == "sh":
                for line in code.splitlines():
                    if line.startswith("sslhsic "):
                        self.shown.append(self._command(*shlex.split(line, comments=True)[1:]).stdout)
