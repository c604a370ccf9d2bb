"""Serve a Hub until Ctrl-C: `python -m tests.hub_server [--port 8000] [--add me/model=folder]`."""

import argparse
import shlex
import signal
import tempfile
import threading
from pathlib import Path

from tests.hub_server import HubServer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.hub_server", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--add", action="append", default=[], metavar="REPO=FOLDER", help="publish a folder first")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
    with tempfile.TemporaryDirectory(prefix="hub-home-") as home, HubServer(options.port, verbose=True) as server:
        for repo_id, _, folder in (argument.partition("=") for argument in options.add):
            paths = [path for path in Path(folder).rglob("*") if path.is_file()]
            server.add(repo_id, {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths})
        for name, value in server.environment(Path(home)).items():
            print(f"export {name}={shlex.quote(value)}", flush=True)
        print("# Ctrl-C ends the server; all that it holds and the cache go with it.", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    main()
