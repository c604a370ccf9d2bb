"""How many functions a reader passes through to follow one call: from_pretrained of a name that ships.

A stop is a distinct function of the room that does the work (`hub/`), entered during the call: what a reader has to
open to follow it. Functions of other rooms, such as the reading of JSON or the making of the network, are named by
what they do and are not opened; they are counted apart. A return is a step of the path into a file that it has left before.

python tools/stops.py [NAME]
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from tools.imports import PACKAGE, ROOT

ROOM = "hub"


@dataclass(frozen=True)
class Stop:
    """A function that was entered: its file, relative to the package, and its name there."""

    file: str
    function: str


def entered(call: Callable[[], Any]) -> list[Stop]:
    """Trace a call, and list the package's functions in the order in which each was first entered."""
    seen: dict[CodeType, None] = {}

    def watch(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            seen.setdefault(frame.f_code)

    sys.setprofile(watch)
    try:
        call()
    finally:
        sys.setprofile(None)
    return [Stop(file, code.co_qualname) for code in seen if (file := _own(code)) and not _is_part(code)]


def stops(path: list[Stop], room: str = ROOM) -> list[Stop]:
    """Select what lies in a room."""
    return [stop for stop in path if stop.file.startswith(f"{room}/")]


def returns(path: list[Stop]) -> int:
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


def loading(name: str) -> list[Stop]:
    """Trace the first loading of a name, all checks included, in a process that has imported everything."""
    import os

    from sslhsic_transfer import from_pretrained

    from_pretrained(name)  # imports happen before
    with tempfile.TemporaryDirectory() as cache:
        os.environ["SSLHSIC_CACHE"] = cache
        return entered(lambda: from_pretrained(name))


def main() -> None:
    """Print the stops by file, and their number."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", default="sslhsic-r18")
    path = loading(parser.parse_args().name)
    inside = stops(path)
    for stop in inside:
        print(f"  {stop.file}: {stop.function}")
    files = {stop.file for stop in inside}
    print(f"{len(inside)} stops in {len(files)} files of {ROOM}/, {returns(inside)} returns")
    others = Counter(stop.file for stop in path if stop not in inside)
    print(f"and {others.total()} functions in {len(others)} files of other rooms:", *sorted(others))


if __name__ == "__main__":
    main()
