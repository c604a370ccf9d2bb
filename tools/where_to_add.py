"""Count the files that know an existing example of what is often added: a backbone, an objective, a task, ….

A file knows an example if its code names it: imports its module, uses one of its identifiers, or has one of
its names as a string. Docstrings and comments do not count. To add another of the kind, touch these files.

python tools/where_to_add.py
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tools.imports import ROOT, modules


@dataclass(frozen=True)
class Example:
    """An existing one of a kind.

    Attributes:
        name: its name.
        words: identifiers, strings, or last parts of module names that stand for it and for nothing else.
    """

    name: str
    words: frozenset[str]


EXAMPLES: dict[str, Example] = {
    "a family of backbones": Example("convnext", frozenset({"convnext", "ConvNeXt", "ConvNeXtBackbone"})),
    "an objective": Example("vicreg", frozenset({"vicreg", "VICReg"})),
    "a layout of labelled data": Example("nyu", frozenset({"nyu", "read_nyu"})),
    "a task of transfer": Example("depth", frozenset({"DepthTask", "DepthSettings"})),
    "an output format of embeddings": Example("NumPy", frozenset({"NumPy"})),
    "a framework for a task": Example("mmseg", frozenset({"MMSegmentation"})),
}


def files_that_know(example: Example) -> list[str]:
    """List the files, relative to the repository, whose code names an example."""
    return sorted(
        path.relative_to(ROOT).as_posix()
        for path in modules().values()
        if not example.words.isdisjoint(_words(ast.parse(path.read_text(encoding="utf-8"))))
    )


def _words(tree: ast.AST) -> Iterator[str]:
    """Yield identifiers, strings and last parts of imported modules, without docstrings."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if id(node) not in docstrings:
                yield text.strip(".").rsplit(".", 1)[-1]
            case ast.Name(id=name) | ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.alias(name=name):
                yield name.rsplit(".", 1)[-1]
            case ast.Attribute(attr=name):
                yield name
            case ast.ImportFrom(module=str(module)):
                yield module.rsplit(".", 1)[-1]


def main() -> None:
    """Print the files for each kind."""
    for kind, example in EXAMPLES.items():
        files = files_that_know(example)
        print(f"{kind}, as {example.name}: {len(files)} files", *files, sep="\n  ")


if __name__ == "__main__":
    main()
