"""The site as `make docs` builds it: each link leads somewhere, and nothing is loaded from elsewhere."""

import ast
import os
import re
import subprocess
import sys
import tomllib
import zlib
from pathlib import Path

import pytest

pytest.importorskip("mkdocs", reason="the site needs: pip install 'sslhsic-transfer[docs]'")

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(place)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=500, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return place


def public_names() -> set[str]:
    """Find where each public name of our packages is defined: a name in ``__all__``, or ``import x as x``."""
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    homes = set()
    for package in setuptools["packages"]:
        folder = ROOT / setuptools["package-dir"].get(package, package.replace(".", "/"))
        tree = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
        listed = {
            name
            for node in tree.body
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
            for name in ast.literal_eval(node.value)
        }
        for node in ast.walk(tree):
            for name in node.names if isinstance(node, ast.ImportFrom) else ():
                if name.name in listed or name.asname == name.name:
                    homes.add(f"{node.module}.{name.name}")
    return homes


def test_every_public_name_is_in_the_reference(site):
    content = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    inventory = {line.split()[0] for line in zlib.decompress(content).decode().splitlines()}
    names = public_names()
    assert len(names) > 80
    assert names - inventory == set()


def test_settings_are_shown_with_their_descriptions(site):
    page = (site / "reference/pretrain/index.html").read_text(encoding="utf-8")
    assert "Number of pictures per step, over all processes." in page
    assert "Field" not in re.sub(r"<[^>]+>", "", page), "a default is shown as the code says it"


def test_nothing_is_loaded_from_elsewhere(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        loaded = re.findall(
            r"<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=[\"']?(https?:)?//", page.read_text("utf-8")
        )
        assert not loaded, page
    styles = [style.read_text("utf-8") for style in site.rglob("*.css")]
    assert styles
    assert not any(re.search(r"url\([\"']?(https?:)?//", style) for style in styles)


def test_lists_are_lists(site):
    """The site's Markdown, unlike GitHub's, wants an empty line between a paragraph or code and a list."""
    broken = re.compile(r"(<p>|\n)(- |\d+\. )")
    for page in site.rglob("*.html"):
        text = re.sub(r"<pre.*?</pre>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert not (found := broken.search(text)), f"{page}: {text[found.start() : found.start() + 80]}"
