"""The pages that make promises: what they show to type, what they name, where they lead."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


def pages() -> list[Path]:
    """README, ARCHITECTURE, CONTRIBUTING, the guide, the tutorials and the reference."""
    return [
        ROOT / "README.md",
        ROOT / "ARCHITECTURE.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    ]


def name_of(page: Path) -> str:
    """Give a page's path within the repository."""
    return page.relative_to(ROOT).as_posix()


def read(page: Path | str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def shell_lines(text: str) -> list[str]:
    """List the commands of all shell blocks, each on one line."""
    blocks = [code for language, code in _FENCE.findall(text) if language == "sh"]
    return [line for code in blocks for line in re.sub(r"\\\n\s*", "", code).splitlines() if line.strip()]


def inline_code(text: str) -> list[str]:
    """List what stands between backticks, outside of blocks."""
    return [code.replace(r"\|", "|") for code in _INLINE.findall(_FENCE.sub("", text))]


def says(page: str, *sentences: str) -> None:
    """Hold a page to sentences, wherever its lines break."""
    text = " ".join(read(page).split())
    for sentence in sentences:
        assert " ".join(sentence.split()) in text, f"{page} should say: {sentence}"


def table(page: str, head: str) -> dict[str, list[str]]:
    """Read the table whose head begins so: the first cell of each row -> the others, without emphasis."""
    lines = read(page).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(head))
    rows = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        name, *cells = [cell.strip(" *") for cell in line.strip("|").split("|")]
        rows[name] = cells
    return rows


@cache
def measured(name: str) -> Any:
    """Read a file of docs/measured."""
    return json.loads(read(f"docs/measured/{name}.json"))
