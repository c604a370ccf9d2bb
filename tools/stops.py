"""How many functions a reader passes through to follow one call: from_pretrained of a name that ships.

The call is traced. A stop is a function of the room that does the work (`hub/`) from which the path goes on: it calls
another function of that room, so a reader has to open it to know what comes next. A function that calls none of them is
read by its name where it is called; these ends are counted apart, as are functions of other rooms, such as the reading
of JSON or the making of a network. A function counts once. A return is a step of the path, which is the stops in the
order in which they are first entered, into a file that it has left before.

python tools/stops.py [NAME]
"""

import argparse
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parents[1]))

from tools.imports import PACKAGE, ROOT

ROOM = "hub"


@dataclass(frozen=True)
class Function:
    """A function that was entered: its file, relative to the package, its name there, and whether it called another."""

    file: str
    name: str
    goes_on: bool

    def __str__(self) -> str:
        return f"{self.file}: {self.name}"


def entered(call: Callable[[], Any], room: str = ROOM) -> list[Function]:
    """Trace a call, and list the package's functions in the order in which each was first entered.

    Args:
        call: what to trace.
        room: whose functions count as a continuation of the path.
    """
    seen: dict[CodeType, None] = {}
    going_on: set[CodeType] = set()

    def watch(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event != "call" or _own(code) is None or _is_part(code):
            return
        seen.setdefault(code)
        caller = frame.f_back
        while caller is not None and (_own(caller.f_code) is None or _is_part(caller.f_code)):
            caller = caller.f_back
        if caller is not None and caller.f_code is not code and str(_own(code)).startswith(f"{room}/"):
            going_on.add(caller.f_code)

    sys.setprofile(watch)
    try:
        call()
    finally:
        sys.setprofile(None)
    return [Function(str(_own(code)), code.co_qualname, code in going_on) for code in seen]


def stops(path: list[Function], room: str = ROOM) -> list[Function]:
    """Select the functions of a room from which the path goes on."""
    return [function for function in path if function.goes_on and function.file.startswith(f"{room}/")]


def returns(path: list[Function]) -> int:
    """Count the steps into a file that the path has left before."""
    count, visited, last = 0, set[str](), None
    for stop in path:
        count += stop.file in visited and stop.file != last
        visited.add(stop.file)
        last = stop.file
    return count


def _own(code: CodeType) -> str | None:
    path = Path(code.co_filename)
    return path.relative_to(ROOT / PACKAGE).as_posix() if path.is_relative_to(ROOT / PACKAGE) else None


def _is_part(code: CodeType) -> bool:
    """Tell whether code is a module's or class's body, or a piece of a function that stands in its own lines."""
    return code.co_name.startswith("<") or not code.co_flags & 0x02 or "<locals>" in code.co_qualname


def loading(name: str) -> list[Function]:
    """Trace the first loading of a name, all checks included, in a process that has imported everything."""
    from sslhsic_transfer import from_pretrained

    from_pretrained(name)  # imports happen before
    with tempfile.TemporaryDirectory() as cache, patch.dict(os.environ, {"SSLHSIC_CACHE": cache}):
        return entered(lambda: from_pretrained(name))


def main() -> None:
    """Print the stops by file, and their number."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", default="sslhsic-r18")
    path = loading(parser.parse_args().name)
    passed = stops(path)
    print(*(f"  {stop}" for stop in passed), sep="\n")
    print(f"{len(passed)} stops in {len({stop.file for stop in passed})} files of {ROOM}/, {returns(passed)} returns")
    ends = [function for function in path if function.file.startswith(f"{ROOM}/") and not function.goes_on]
    print(f"{len(ends)} ends:", ", ".join(end.name for end in ends))
    others = Counter(function.file for function in path if not function.file.startswith(f"{ROOM}/"))
    print(f"{others.total()} functions of other rooms, in:", *sorted(others))


if __name__ == "__main__":
    main()
