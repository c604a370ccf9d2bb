"""Pages and docstrings are easy to read: a short README, sentences that begin plainly, American spelling."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, name_of, pages, read

# Prose: what stands outside of code, links' addresses, tables and comments.
_NOT_PROSE = re.compile(r"^```.*?^```$|`[^`]*`|\]\([^)]*\)|^\|.*$|^:::.*$|<!--.*?-->", re.MULTILINE | re.DOTALL)
_BRITISH = re.compile(
    r"\b(?:\w*(?:colour|behaviour|neighbour|favour|labell|artefact|catalogue|licence|[a-z]{3}metre|[cC]entre|grey)\w*"
    r"|(?:optimi|normali|initiali|recogni|synchroni|regulari|quanti|maximi|minimi|organi|speciali|generali)s\w+)\b",
    re.IGNORECASE,
)
_HEAVY = ("Of", "What", "Whether")


def prose(page: str) -> str:
    """Give a page's text with code, tables and addresses blanked."""
    return _NOT_PROSE.sub(" . ", read(page)) if page != "docs/project/changelog.md" else ""


@pytest.mark.parametrize("page", [name_of(page) for page in pages()])
def test_sentences_begin_plainly(page):
    """Headings that are questions may begin so."""
    for sentence in re.split(r"(?<=[.:;!?])\s+|\n\s*\n|\n(?=\s*- )|(?<=\n)(?=#)", prose(page)):
        words = re.findall(r"[A-Za-z]+", sentence)
        heavy = words and words[0] in _HEAVY and not sentence.splitlines()[0].rstrip("* ").endswith("?")
        assert not heavy, f"{page}: {sentence[:80]}"


@pytest.mark.parametrize("page", [name_of(page) for page in pages()])
def test_spelling_is_american(page):
    assert _BRITISH.findall(prose(page)) == []


def docstrings(file: Path) -> Iterator[tuple[str, str]]:
    """Yield the names of a file's documented parts, and their docstrings in one line."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield getattr(node, "name", ""), " ".join((ast.get_docstring(node) or "").split())


@pytest.mark.parametrize("folder", ["sslhsic_transfer", "pretrain", "adapters", "tools", "benchmarks"])
def test_docstrings_begin_plainly(folder):
    """Questions may begin so."""
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    heavy = [
        f"{file.relative_to(ROOT)} {name}: {sentence[:80]}"
        for file in files
        for name, text in docstrings(file)
        for sentence in re.split(r"(?<=[.!?])\s+", text)
        if re.match(rf"(?:{'|'.join(_HEAVY)})\b", sentence) and not sentence.endswith("?")
    ]
    assert heavy == []


def test_the_readme_is_short():
    lines = read("README.md").splitlines()
    assert len(lines) <= 120
    assert [line for line in lines if len(line) > 120 and not line.startswith("|")] == []
    first = next(number for number, line in enumerate(lines) if "from_pretrained(" in line)
    assert first < 30, "an encoder is in use within thirty lines"
