"""Install Detectron2 0.6 without its compiled operations: ``python -m sslhsic_transfer.adapters.detectron2.install``.

Detectron2 is not on PyPI under its own name, and building it from source needs a compiler. PyPI's sdist
``pb1-detectron2`` holds the Python code of version 0.6, which is enough for detectors without rotated boxes or
deformable convolutions. Pip downloads it and checks its hash. It gets a pure-Python build and is installed without
dependencies, which are this package's extra ``detectron2``. Its code is adapted to current libraries, and its compiled
operations are replaced, so that it can be imported by itself. An installed package that cannot be imported is repaired
in the same way.
"""

import importlib.util
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from sslhsic_transfer.adapters.detectron2.repair import repair

REQUIREMENT = "pb1-detectron2==0.6"
SHA256 = "5d2e9e51e523ec72f6a31cca04b0a515492e9514b773a3d134cedc0677170b29"
PROJECTS = ("PointRend/point_rend", "DeepLab/deeplab", "Panoptic-DeepLab/panoptic_deeplab")
_IS_0_6 = re.compile(r"^__version__ = ['\"]0\.6['\"]$", re.MULTILINE)
_NEEDED = (
    "detectron2.layers",
    "detectron2.config",
    "detectron2.model_zoo",
    "detectron2.modeling",
    "detectron2.data",
    "detectron2.evaluation",
)
BUILD = """\
[build-system]
requires = ["setuptools>=64"]
build-backend = "setuptools.build_meta"

[project]
name = "detectron2"
version = "0.6+pure"
description = "Detectron2 without compiled operations"

[tool.setuptools]
include-package-data = false

[tool.setuptools.packages.find]
include = ["detectron2*"]
namespaces = false

[tool.setuptools.package-data]
"detectron2.model_zoo" = ["configs/**/*.yaml", "configs/**/*.py"]
"""


def main() -> int:
    """Install Detectron2 if it is missing.

    Returns:
        The exit status: 0 if Detectron2 can be imported afterwards.
    """
    if (package := installed()) is not None:
        return _made_to_work(package)
    if missing := [name for name in ("setuptools", "torch") if importlib.util.find_spec(name) is None]:
        return _failed(f"{' and '.join(missing)} must be there first: pip install {' '.join(missing)}")
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder, "requirements.txt")
        wanted.write_text(f"{REQUIREMENT} --hash=sha256:{SHA256}\n", encoding="utf-8")
        source = ("--no-deps", "--no-build-isolation", "--no-binary", ":all:")
        if error := _pip("download", *source, "--dest", folder, "--requirement", str(wanted)):
            return _failed(f"{REQUIREMENT} cannot be fetched from the package index.\n{error}")
        tree = make_pure(next(Path(folder).glob("*.tar.gz")))
        if error := _pip("install", "--no-deps", "--no-build-isolation", str(tree)):
            return _failed(f"it cannot be built.\n{error}")
    done = _imported()
    if done.returncode:
        return _failed(
            f"it is there but cannot be imported; its dependencies: pip install 'sslhsic-transfer[detectron2]'\n"
            f"{done.stderr}"
        )
    print(f"Installed Detectron2 {done.stdout.strip()} (pure Python).")
    return 0


def installed() -> Path | None:
    """Find the package without importing it."""
    spec = importlib.util.find_spec("detectron2")
    places = list(spec.submodule_search_locations or []) if spec is not None else []
    return Path(places[0]) if places else None


def _made_to_work(package: Path) -> int:
    """Repair an installed package if it cannot be imported by itself; return the exit status."""
    done = _imported()
    if not done.returncode:
        print("Detectron2 is installed already.")
        return 0
    try:
        if not _IS_0_6.search((package / "__init__.py").read_text(encoding="utf-8")):
            return _failed(f"{package} is there, of another version than 0.6, but cannot be imported:\n{done.stderr}")
        written = repair(package)
    except OSError as error:
        return _failed(f"{package} cannot be imported as it is, and not be changed: {error}")
    done = _imported()
    if done.returncode:
        return _failed(f"{package} is there but cannot be imported:\n{done.stderr}")
    print(f"Detectron2 is installed already; {len(written)} of its files were made to fit today's libraries.")
    return 0


def _imported() -> "subprocess.CompletedProcess[str]":
    """Import the modules that fail if anything is missing, in a separate process, which prints the version."""
    code = f"import detectron2, {', '.join(_NEEDED)}; print(detectron2.__version__)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def make_pure(archive: Path) -> Path:
    """Unpack the sdist beside itself, adapt it to current libraries, and give it a build that compiles nothing.

    Returns:
        The folder to install, with the package, its projects and the configurations of its model zoo.
    """
    with tarfile.open(archive) as sdist:
        sdist.extractall(archive.parent, filter="data")
    tree = archive.with_name(archive.name.removesuffix(".tar.gz"))
    for name in ("setup.py", "setup.cfg"):
        (tree / name).unlink()
    for project in PROJECTS:
        shutil.move(tree / "projects" / project, tree / "detectron2" / "projects")
    repair(tree / "detectron2")
    (tree / "pyproject.toml").write_text(BUILD, encoding="utf-8")
    return tree


def _pip(*arguments: str) -> str:
    """Run this interpreter's pip, and return its output if it fails, else an empty string."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""


def _failed(reason: str) -> int:
    print(f"Detectron2 was not installed: {reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
