"""The bundle for a GPU machine without a network: gathered and run by real processes."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tools" / "gpu_bundle.sh"
LOOKS = """
import os
import sslhsic_transfer, sslhsic_transfer.adapters, sslhsic_transfer.pretrain
from sslhsic_transfer.sample import sign_digits
from tools import tables
from tests import dense_data
for module in (sslhsic_transfer, sslhsic_transfer.adapters, sslhsic_transfer.pretrain, tables, dense_data):
    print("from", module.__file__)
print("from", sign_digits().train)
print("data", sorted(os.listdir(os.environ["SSLHSIC_DATA"])))
open("written.txt", "w").write("by the command")
"""
FRAMEWORKS = """
import torch
import mmcv, mmengine, mmseg, pycocotools.mask, pydantic
import lightly.loss, lightly.models, lightly.transforms
from sslhsic_transfer import from_pretrained
from sslhsic_transfer.adapters.detectron2 import add_sslhsic_config, configure
from sslhsic_transfer.adapters.mmseg import SSLHSICEncoder
from detectron2 import model_zoo
from detectron2.config import get_cfg
from detectron2.modeling import build_model

for module in (mmcv, mmengine, mmseg, pycocotools, pydantic, lightly, model_zoo):
    print("from", module.__file__)
cfg = get_cfg()
add_sslhsic_config(cfg)
cfg.merge_from_file(model_zoo.get_config_file("COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml"))
cfg.MODEL.DEVICE, cfg.MODEL.WEIGHTS, cfg.MODEL.BACKBONE.NAME = "cpu", "", "build_sslhsic_fpn_backbone"
configure(cfg, "sslhsic-r18")
with torch.no_grad():
    build_model(cfg).eval()([{"image": torch.zeros(3, 64, 96)}])
print("features", tuple(from_pretrained("sslhsic-r18")(torch.zeros(2, 3, 64, 64)).shape))
"""
pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="a shell script"),
    pytest.mark.skipif(shutil.which("tar") is None, reason="tar is not installed"),
]


def run(*command, folder, **environment):
    """A real process in `folder`; variables of None are taken away."""
    variables = {key: value for key, value in {**os.environ, **environment}.items() if value is not None}
    arguments = [str(part) for part in command]
    return subprocess.run(
        arguments, capture_output=True, text=True, cwd=folder, env=variables, timeout=500, check=False
    )


def gather(*options, folder, python=sys.executable):
    return run(SCRIPT, *options, folder=folder, PYTHON=python, PYTHONPATH=None)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    """A bundle without wheels and weights, elsewhere than where it was made."""
    home = tmp_path_factory.mktemp("bundle")
    data = home / "digits"
    data.mkdir()
    (data / "one.txt").write_text("1")
    options = ("--no-wheels", "--models", "none", "--data", data, "--tar", home / "bundle.tar.gz")
    done = gather(*options, home / "made", folder=home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "MiB  code" in done.stdout
    assert "in all, of 48 (--limit)" in done.stdout
    with tarfile.open(home / "bundle.tar.gz") as archive:
        archive.extractall(home / "there", filter="data")
    shutil.rmtree(home / "made")
    return home / "there" / "made"


def start(bundle, *command, folder, **environment):
    there = {"OUT": None, "PYTHONPATH": None, "PYTHON": sys.executable, "TMPDIR": str(folder), **environment}
    return run(bundle / "run.sh", *command, folder=folder, **there)


class TestList:
    def test_versions_are_those_of_the_constraints(self, tmp_path):
        done = gather("--list", folder=tmp_path)
        assert done.returncode == 0, done.stderr
        rows = dict(line.split() for line in done.stdout.splitlines())
        lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        pins = dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))
        pins = {canonicalize_name(name): version for name, version in pins.items()}
        wanted = {canonicalize_name(row.split("==")[0]): row.split("==")[1] for row in rows}
        assert len(wanted) == len(rows) > 20
        assert {name: pins[name] for name in wanted if name in pins} == {
            name: version for name, version in wanted.items() if name in pins
        }
        assert set(wanted) - set(pins) == {"faiss-cpu"}
        assert set(rows.values()) == {"wheel", "source", "optional"}

    def test_needs_of_the_listed_are_listed_or_usual(self, tmp_path):
        """`pip` is told to install no dependencies, so that a new one would be missed on the other machine alone."""
        usual = {"cloudpickle", "matplotlib", "numpy", "opencv-python", "packaging", "pillow", "portalocker", "pyyaml"}
        usual |= {"pytorch-lightning", "regex", "rich", "scipy", "tabulate", "torch", "torchvision", "tqdm"}
        usual |= {"typing-extensions"}
        listed = {line.split("==")[0] for line in gather("--list", folder=tmp_path).stdout.splitlines()}
        listed = {canonicalize_name(name) for name in listed}
        for name in listed:
            try:
                needs = [Requirement(line) for line in requires(name) or []]
            except PackageNotFoundError:
                continue  # faiss-cpu
            needs = {canonicalize_name(n.name) for n in needs if not n.marker or n.marker.evaluate({"extra": ""})}
            assert needs <= listed | usual, name


class TestRunning:
    def test_everything_comes_from_the_bundle(self, bundle, tmp_path):
        done = start(bundle, sys.executable, "-c", LOOKS, folder=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        origins = [line.removeprefix("from ") for line in done.stdout.splitlines() if line.startswith("from ")]
        assert len(origins) == 6
        assert all(Path(origin).is_relative_to(bundle / "code") for origin in origins), origins
        assert "data ['digits']" in done.stdout
        assert "torch " in done.stdout
        assert f"output: {tmp_path / 'out'}" in done.stdout
        assert (tmp_path / "out" / "written.txt").is_file()

    def test_paths_mean_what_the_bundle_holds(self, bundle, tmp_path):
        echo = "import sys; print('arguments', *sys.argv[1:])"
        given = ("tools/tables.py", "data/digits", "data/none", "--x=tools/tables.py", "tools/none.py", "a b")
        done = start(bundle, sys.executable, "-c", echo, *given, folder=tmp_path, OUT=str(tmp_path / "elsewhere"))
        assert done.returncode == 0, done.stderr
        (unpacked,) = tmp_path.glob("sslhsic-gpu-bundle-*")
        expected = (bundle / "code/tools/tables.py", unpacked / "data/digits", *given[2:])
        assert f"arguments {' '.join(map(str, expected))}\n" in done.stdout
        assert (tmp_path / "elsewhere").is_dir()
        assert not (tmp_path / "out").exists()

    def test_the_command_line_and_its_status(self, bundle, tmp_path):
        shown = start(bundle, "sslhsic", "models", folder=tmp_path)
        assert shown.returncode == 0, shown.stderr
        assert "sslhsic-r18" in shown.stdout
        assert start(bundle, "sh", "-c", "exit 3", folder=tmp_path).returncode == 3

    def test_no_command(self, bundle, tmp_path):
        done = start(bundle, folder=tmp_path)
        assert done.returncode == 1
        assert "./run.sh python3 tools/gpu_check.py" in done.stderr


class TestRefusals:
    def test_too_large_says_what_is_large_and_what_to_leave_out(self, tmp_path):
        data = tmp_path / "pictures"
        data.mkdir()
        for index in range(40):
            (data / f"{index}.bin").write_bytes(bytes(2**20))
        options = ("--no-wheels", "--models", "none", "--limit", "32", "--data", data)
        done = gather(*options, tmp_path / "made", folder=tmp_path)
        assert done.returncode == 1
        assert done.stdout.splitlines()[0] == f"    40.0 MiB  --data {data}"
        assert "and --limit is 32. Leave out what is largest" in done.stderr
        assert not (tmp_path / "made" / "run.sh").exists()
        assert not (tmp_path / "made" / "data.tar").exists()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (("--models", "sslhsic-r19"), "no weights in model_cards/sslhsic-r19; there are:.*sslhsic-r18"),
            (("--data", "nowhere"), "--data nowhere is not a folder"),
            (("--data", "a/x", "--data", "b/x"), "two folders of --data are called x"),
            (("--limit", "1G"), "--limit takes whole MiB, not '1G'"),
            (("--model", "none"), "there is no option --model"),
            (("--tar",), "--tar needs a value"),
            (("theirs",), "theirs is not empty and not a bundle of before"),
        ],
    )
    def test_choices(self, options, message, tmp_path):
        for folder in ("a/x", "b/x", "theirs/code"):
            (tmp_path / folder).mkdir(parents=True)
        done = gather("--no-wheels", *options, folder=tmp_path)
        assert done.returncode == 1
        assert re.search(message, done.stderr), done.stderr
        assert (tmp_path / "theirs" / "code").is_dir()

    def test_wheels_of_another_python(self, bundle, tmp_path):
        other = tmp_path / "other"
        shutil.copytree(bundle, other)
        (other / "wheels").mkdir()
        (other / "wheels" / "PYTHON").write_text("3.2\n")
        done = start(other, "true", folder=tmp_path)
        assert done.returncode == 1
        assert "the wheels are for Python 3.2" in done.stderr


@pytest.mark.slow
def test_with_wheels_for_this_python(tmp_path):
    """The gathered wheels serve detectors, segmentors and the benchmarks' peer; the second time nothing is fetched."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    done = gather("--python", version, tmp_path / "made", folder=tmp_path)
    if "package index" in done.stderr:
        pytest.skip(f"no package index: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "fetching pydantic==" in done.stdout
    wheels = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "made" / "wheels").iterdir()}
    (tmp_path / "made" / "wheels" / "pydantic-0.1-py3-none-any.whl").touch()
    again = gather("--python", version, tmp_path / "made", folder=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "fetching" not in again.stdout
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "made" / "wheels").iterdir()}
    assert {**kept, "PYTHON": 0} == {**wheels, "PYTHON": 0}

    ran = start(tmp_path / "made", sys.executable, "-W", "ignore", "-c", FRAMEWORKS, folder=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "features (2, 512)" in ran.stdout
    origins = [line.removeprefix("from ") for line in ran.stdout.splitlines() if line.startswith("from ")]
    assert len(origins) == 7
    (unpacked,) = tmp_path.glob("sslhsic-gpu-bundle-*")
    assert all(Path(origin).is_relative_to(unpacked / "site") for origin in origins), origins
