"""Pages are easy to read: a short README, sentences that begin plainly, American spelling."""

import re

import pytest

from tests.docs.pages import name_of, pages, read

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


def test_the_readme_is_short():
    lines = read("README.md").splitlines()
    assert len(lines) <= 120
    assert [line for line in lines if len(line) > 120 and not line.startswith("|")] == []
    first = next(number for number, line in enumerate(lines) if "from_pretrained(" in line)
    assert first < 30, "an encoder is in use within thirty lines"
