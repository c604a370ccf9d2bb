"""How the package's modules import one another: circles, function-local imports included, and the depth of each room.

python tools/imports.py [--room ROOM]
"""

import argparse
import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "sslhsic_transfer"
PLACES = {PACKAGE: ROOT / PACKAGE, f"{PACKAGE}.pretrain": ROOT / "pretrain", f"{PACKAGE}.adapters": ROOT / "adapters"}

Graph = dict[str, set[str]]


def modules() -> dict[str, Path]:
    """Find every module of the package: name -> file."""
    found: dict[str, Path] = {}
    for package, folder in PLACES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            if "configs" in parts or (package == PACKAGE and parts[0] in ("pretrain", "adapters", "model_cards")):
                continue  # configs of frameworks; links of a worktree
            found[".".join((package, *(part for part in parts if part != "__init__")))] = path
    return found


def imports() -> Graph:
    """Map each module to those of the package that it imports when it runs, type checkers' imports left out."""
    files = modules()
    return {name: set(_imported(name, path, files)) for name, path in files.items()}


def _imported(name: str, path: Path, files: dict[str, Path]) -> Iterator[str]:
    for node in _at_run_time(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [
                full if (full := f"{node.module}.{alias.name}") in files else node.module or "" for alias in node.names
            ]
        yield from (other for other in names if other in files and other != name)


def _at_run_time(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from _at_run_time(node)


def circles(graph: Graph) -> list[list[str]]:
    """Find groups of modules each of which leads to all others (Tarjan 1972), the largest first."""
    index: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = lowest[name] = len(index)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in index:
                visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in stack:
                lowest[name] = min(lowest[name], index[other])
        if lowest[name] == index[name]:
            place = stack.index(name)
            groups.append(sorted(stack[place:]))
            del stack[place:]

    for name in sorted(graph):
        if name not in index:
            visit(name)
    return sorted((group for group in groups if len(group) > 1), key=len, reverse=True)


def main() -> None:
    """Print circles, and on request what a room imports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--room", help="print what the modules of this room import, such as models")
    arguments = parser.parse_args()
    graph = imports()
    found = circles(graph)
    print(f"{len(graph)} modules, {sum(map(len, graph.values()))} imports, {len(found)} circles")
    for group in found:
        print(f"  circle of {len(group)}: {', '.join(name.removeprefix(f'{PACKAGE}.') for name in group)}")
    if arguments.room:
        for name, others in sorted(graph.items()):
            if name.startswith(f"{PACKAGE}.{arguments.room}"):
                print(name, *sorted(others), sep="\n  ")


if __name__ == "__main__":
    main()
