"""For the reference: the package as a wheel installs it.

`pretrain/`, `adapters/` and `model_cards/` stand at the top of the repository and are parts of `sslhsic_transfer` once
it is installed. What reads the docstrings looks at one folder, so the modules are copied into one, by the table of
pyproject.toml.
"""

import shutil
import tomllib
from pathlib import Path
from typing import Any

from mkdocs.plugins import event_priority

ROOT = Path(__file__).parents[2]


@event_priority(100)  # before mkdocstrings looks whether its folder is there
def on_config(config: Any) -> Any:
    """Lay the package out before mkdocs builds."""
    lay_out(ROOT / "build" / "package")
    return config


def lay_out(target: Path) -> None:
    """Copy every module of the package to where it is installed, below ``target``."""
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    shutil.rmtree(target, ignore_errors=True)
    for package in setuptools["packages"]:
        inside = package.replace(".", "/")
        (target / inside).mkdir(parents=True)
        for module in (ROOT / setuptools["package-dir"].get(package, inside)).glob("*.py"):
            shutil.copy(module, target / inside)
