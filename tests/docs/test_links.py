"""Links and paths in the pages lead somewhere, as GitHub shows them; `test_site.py` holds the site to the same."""

import re

import pytest

from tests.docs.pages import ROOT, inline_code, name_of, pages, read

# Where a path that is named may begin: the pages speak of modules from the repository's root or the package's.
ROOMS = ("", "sslhsic_transfer", "docs", "adapters/mmseg/configs")
NAMED = re.compile(r"(?:[\w.-]+/)+(?:[\w-]+\.(?:py|md|yaml|yml|json|txt|sh|png|jpg))?")
# Paths in a user's folder or repository, not in ours.
USERS = re.compile(
    r"(RUN|REPOSITORY|runs|data|org|pictures|repository|train|val|test|model|onnx|logs|checkpoints|images|masks|build"
    r"|dist|sslhsic|page|signs|annotations)/"
)


def anchors(text: str) -> set[str]:
    """List the anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [name_of(page) for page in pages()])
def test_links_lead_to_files_and_headings(page):
    text = re.sub(r"^```.*?^```$", "", read(page), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith("http"):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        # Headings of the reference are made of docstrings' and settings' names when the site is built.
        if anchor and "reference" not in target.parts:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("page", [name_of(page) for page in pages()])
def test_paths_that_are_named_are_there(page):
    for code in inline_code(read(page)):
        if NAMED.fullmatch(code) and not USERS.match(code):
            assert any((ROOT / room / code).exists() for room in ROOMS), code


def test_architecture_draws_every_room_and_only_what_is_there():
    """The tree's lines: a name, then what it is; folders of the package are rooms, and each has its line."""
    tree = read("ARCHITECTURE.md").split("```\n")[1].splitlines()
    place: list[str] = []
    drawn = set()
    for line in tree:
        indent = len(line) - len(line.lstrip())
        if indent > 8:  # goes on with the line above
            continue
        for name in re.match(r"\s*((?:[\w.]+(?:/|\.py)\s)*(?:[\w.]+(?:/|\.py)))", line)[1].split():
            place[indent // 2 :] = [name]
            path = "".join(place)
            assert (ROOT / path).exists(), path
            drawn.add(path.rstrip("/"))
    rooms = {
        f"{top}{folder.name}"
        for top in ("", "sslhsic_transfer/", "pretrain/", "adapters/")
        for folder in (ROOT / top if top else ROOT).iterdir()
        if folder.is_dir() and not folder.is_symlink() and list(folder.glob("*.py"))
    }
    assert rooms - drawn == set()


def test_architecture_tells_where_to_add_by_names_that_are_there():
    sources = "\n".join(
        file.read_text("utf-8")
        for top in ("sslhsic_transfer", "pretrain", "adapters", "tools")
        for file in (ROOT / top).rglob("*.py")
    )
    names = re.findall(r"`([A-Z][A-Za-z_]+)`", read("ARCHITECTURE.md").split("## Where to add")[1])
    assert len(names) > 15
    for name in names:
        assert re.search(rf"^(?:class )?{name}\b", sources, re.MULTILINE), name
