import io
import subprocess
import sys
import tarfile

import pytest

from sslhsic_transfer.adapters.detectron2 import install

SETUP = "raise SystemExit('this would compile')"


@pytest.fixture
def sdist(tmp_path):
    """An archive laid out as the real one, with next to nothing in it."""
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


def test_it_does_nothing_where_detectron2_is(monkeypatch, capsys):
    monkeypatch.setattr(install, "_pip", None)
    assert install.main() == 0
    assert "installed already" in capsys.readouterr().out


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
