import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from sslhsic_transfer.adapters.detectron2 import install
from sslhsic_transfer.adapters.detectron2.repair import repair

SETUP = "raise SystemExit('this would compile')"


@pytest.fixture
def sdist(tmp_path):
    """Make an archive with the layout of the real one and next to nothing in it."""
    files = {
        "setup.py": SETUP,
        "setup.cfg": "[metadata]\nname = other\n",
        "detectron2/__init__.py": "__version__ = '0.6'\n",
        "detectron2/projects/__init__.py": "",
        "detectron2/model_zoo/__init__.py": "",
        "detectron2/model_zoo/configs/COCO/a.yaml": "A: 1\n",
        **{f"projects/{project}/__init__.py": "" for project in install.PROJECTS},
        "tools/train.py": "",
    }
    path = tmp_path / "pb1-detectron2-0.6.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"pb1-detectron2-0.6/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path


def test_the_sdist_becomes_a_package_of_pure_python(sdist, tmp_path):
    tree = install.make_pure(sdist)
    command = ["install", "-q", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(tmp_path / "site")]
    subprocess.run([sys.executable, "-m", "pip", *command, str(tree)], check=True, capture_output=True, timeout=200)
    site = tmp_path / "site"
    assert (site / "detectron2/model_zoo/configs/COCO/a.yaml").is_file()
    assert (site / "detectron2/projects/point_rend/__init__.py").is_file()
    assert sorted(path.name for path in site.iterdir()) == ["detectron2", "detectron2-0.6+pure.dist-info"]


@pytest.fixture
def package(monkeypatch, tmp_path):
    """A copy of the installed Detectron2 by itself, as the sdist has it, first on the path of new processes."""
    site = tmp_path / "alone"
    original = Path(install.installed())
    shutil.copytree(original, site / "detectron2", ignore=shutil.ignore_patterns("__pycache__", "_C.py", "configs"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), *sys.path]))
    monkeypatch.setattr(install, "installed", lambda: site / "detectron2")
    monkeypatch.setattr(install, "_pip", None)
    return site / "detectron2"


def test_what_is_installed_works_without_the_adapter(package, capsys):
    assert install.main() == 0
    code = (
        "import sys; from detectron2.config import get_cfg; from detectron2 import _C, model_zoo;"
        "from detectron2.modeling import build_model; from detectron2.engine import DefaultTrainer;"
        "from detectron2.export import TracingAdapter; from detectron2.layers import DeformConv;"
        "print(_C.__file__, _C.has_cuda(), 'sslhsic_transfer' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.split() == [str(package / "_C.py"), "False", "False"], done.stderr
    told = capsys.readouterr().out
    assert "installed already" in told
    files = {path: path.read_bytes() for path in package.rglob("*.py")}
    assert install.main() == 0
    assert capsys.readouterr().out == "Detectron2 is installed already.\n"
    assert {path: path.read_bytes() for path in package.rglob("*.py")} == files
    assert repair(package) == []


def test_operations_that_are_not_there_say_so(package):
    repair(package)
    code = "from detectron2 import _C; _C.box_iou_rotated"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert "no compiled operations, and box_iou_rotated is one" in done.stderr


def test_the_adapter_works_beside_what_was_made_to_work(package):
    repair(package)
    code = (
        "import sslhsic_transfer.adapters.detectron2.compat, detectron2.layers;"
        "from sslhsic_transfer.adapters.detectron2 import add_sslhsic_config; print(detectron2.__file__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == str(package / "__init__.py"), done.stderr


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = np.bool\ny = np.bool_(1) + np.float64(2)\n", "x = bool\ny = np.bool_(1) + np.float64(2)\n"),
        ("a = Image.LINEAR, Image.BILINEAR\n", "a = Image.BILINEAR, Image.BILINEAR\n"),
        ("torch.meshgrid(a, b)\n", 'torch.meshgrid(a, b, indexing="ij")\n'),
        ("torch.meshgrid(f(a), g(b, c))\n", 'torch.meshgrid(f(a), g(b, c), indexing="ij")\n'),
        ('torch.meshgrid(a, b, indexing="xy")\n', 'torch.meshgrid(a, b, indexing="xy")\n'),
        ("import pkg_resources\n", "from detectron2 import _resources as pkg_resources\n"),
        ("# nothing\n", "# nothing\n"),
    ],
)
def test_names_that_were_dropped_are_replaced(before, after, tmp_path):
    (tmp_path / "part.py").write_text(before)
    (tmp_path / "_C.cpython.so").touch()
    written = repair(tmp_path)
    assert (tmp_path / "part.py").read_text() == after
    assert ((tmp_path / "part.py") in written) == (before != after)
    assert not (tmp_path / "_C.py").exists(), "compiled operations are there"
    assert repair(tmp_path) == []


def test_another_version_is_left_alone(monkeypatch, capsys, tmp_path):
    (tmp_path / "detectron2").mkdir()
    (tmp_path / "detectron2/__init__.py").write_text("__version__ = '0.7'\nraise ImportError('broken')\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    monkeypatch.setattr(install, "installed", lambda: tmp_path / "detectron2")
    assert install.main() == 1
    assert "of another version than 0.6" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "detectron2").glob("*.py")] == ["__init__.py"]


@pytest.mark.parametrize(
    ("there", "fails", "message"),
    [
        ({"setuptools"}, None, "torch must be there first: pip install torch"),
        ({"setuptools", "torch"}, "download", "cannot be fetched from the package index.\nno network"),
    ],
)
def test_what_went_wrong_is_told(monkeypatch, capsys, there, fails, message):
    monkeypatch.setattr(install.importlib.util, "find_spec", lambda name: name if name in there else None)
    monkeypatch.setattr(install, "_pip", lambda action, *_: "no network" if action == fails else "")
    assert install.main() == 1
    assert message in capsys.readouterr().err


def test_a_file_with_another_hash_is_refused(monkeypatch, capsys, sdist):
    """By pip itself, which gets the hash; the index is the folder of a file that has another."""
    real = install._pip

    def offline(action, *arguments):
        return real(action, "--no-index", "--find-links", str(sdist.parent), *arguments)

    there = {"setuptools", "torch"}
    monkeypatch.setattr(install.importlib.util, "find_spec", lambda name: name if name in there else None)
    monkeypatch.setattr(install, "_pip", offline)
    assert install.main() == 1
    assert "DO NOT MATCH THE HASHES" in capsys.readouterr().err
