import json
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import sslhsic_transfer
from tools.release_check import check_sdist, check_size, check_wheel

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_folder_of_code_is_a_listed_package():
    found = set()
    for top, prefix in (
        ("sslhsic_transfer", "sslhsic_transfer"),
        ("pretrain", "sslhsic_transfer.pretrain"),
        ("adapters", "sslhsic_transfer.adapters"),
        ("model_cards", "sslhsic_transfer.model_cards"),
    ):
        for init in (ROOT / top).rglob("__init__.py"):
            inner = init.parent.relative_to(ROOT / top).parts
            found.add(".".join((prefix, *inner)))
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == found


def test_versions_agree():
    assert PROJECT["project"]["version"] == sslhsic_transfer.__version__
    assert f"version: {sslhsic_transfer.__version__}" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"## {sslhsic_transfer.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_promised_extras_exist():
    extras = PROJECT["project"]["optional-dependencies"]
    assert {"data", "onnx", "mmseg", "detectron2", "eval", "bench", "docs", "dev", "all"} <= set(extras)


def test_every_requirement_has_a_tested_version():
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name
    from packaging.version import Version

    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    pins = {canonicalize_name(line.split("==")[0]): Version(line.split("==")[1]) for line in lines}
    extras = PROJECT["project"]["optional-dependencies"]
    tested = [
        *PROJECT["project"]["dependencies"],
        *extras["pretrain"],
        *extras["data"],
        *extras["eval"],
        *extras["onnx"],
        *extras["transfer"],
        *extras["mmseg"],
        *extras["detectron2"],
        *extras["bench"],
        *extras["docs"],
        *extras["dev"],
    ]
    for requirement in map(Requirement, tested):
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{name} has no tested version in constraints.txt"
        assert pins[name] in requirement.specifier, f"{name}: {pins[name]} is not in {requirement.specifier}"


@pytest.fixture(scope="module")
def distributions(tmp_path_factory) -> tuple[Path, Path]:
    """The sdist, and the wheel that is built from it: what a user's pip does."""
    output = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(output), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (sdist,), (wheel,) = output.glob("*.tar.gz"), output.glob("*.whl")
    return sdist, wheel


def test_the_wheel_installs_the_package_and_nothing_else(distributions):
    with zipfile.ZipFile(distributions[1]) as wheel:
        names = wheel.namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"sslhsic_transfer", f"sslhsic_transfer-{sslhsic_transfer.__version__}.dist-info"}
    for needed in (
        "sslhsic_transfer/py.typed",
        "sslhsic_transfer/pretrain/loop.py",
        "sslhsic_transfer/pretrain/recipes/demo.yaml",
        "sslhsic_transfer/adapters/__init__.py",
        "sslhsic_transfer/adapters/mmseg/configs/_base_/models/fcn.py",
        "sslhsic_transfer/adapters/mmseg/configs/fcn_voc12aug.py",
        "sslhsic_transfer/adapters/detectron2/configs/voc_faster_rcnn_c4_24k.yaml",
        "sslhsic_transfer/adapters/detectron2/configs/mask_rcnn_fpn_1x_lazy.py",
        "sslhsic_transfer/model_cards/__init__.py",
        "sslhsic_transfer/sample/sign_digits/NOTICE",
    ):
        assert needed in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert sum(name.endswith(".jpg") for name in names) == 1651
    assert not any("tests" in name for name in names)


def test_the_installed_wheel_works_from_any_folder(distributions, tmp_path):
    """Beside the other packages of this environment, but with the wheel's own copy of ours."""
    target = tmp_path / "site"
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--target",
        str(target),
        str(distributions[1]),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    code = (
        "import sslhsic_transfer, sslhsic_transfer.pretrain as p, sys; "
        f"assert sslhsic_transfer.__file__.startswith({str(target)!r}), sslhsic_transfer.__file__; "
        f"assert p.__file__.startswith({str(target)!r}), p.__file__; "
        "assert len(sslhsic_transfer.sample.sign_digits().classes) == 10; "
        "print(p.load_recipe('imagenet-r50').epochs)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {[str(target), *sys.path]!r}; {code}"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
        check=False,
    )
    assert done.stdout.strip() == "1000", done.stderr


def test_exported_encoders_run_where_torch_is_not_installed(distributions, model_folder, digits, tmp_path):
    """An environment with ONNX Runtime, NumPy, Pillow and two small packages for settings, and nothing else."""
    import torch

    from sslhsic_transfer import from_pretrained
    from sslhsic_transfer.adapters.onnx import export

    encoder = from_pretrained(model_folder)
    export(encoder, tmp_path / "model.onnx", pictures=digits / "test")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "clean"], check=True, timeout=120)
    python = tmp_path / "clean/bin/python"
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    needed = ["onnxruntime", "numpy", "pillow", "pydantic", "pyyaml"]
    for command in ([*pip, "-c", ROOT / "constraints.txt", *needed], [*pip, "--no-deps", distributions[1]]):
        subprocess.run(command, check=True, capture_output=True, timeout=300)
    picture = next((digits / "test").rglob("*.jpg"))
    code = (
        "import importlib.util as u, json; from sslhsic_transfer.adapters.onnx import OnnxEncoder; "
        "assert not u.find_spec('torch') and not u.find_spec('torchvision'); "
        f"print(json.dumps(OnnxEncoder.from_pretrained('model.onnx').embed([{str(picture)!r}]).tolist()))"
    )
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = torch.tensor(json.loads(done.stdout))
    assert torch.cosine_similarity(found, encoder.embed([picture])).item() >= 0.9999
    clean, torchs = (_bytes(place) for place in (tmp_path / "clean", Path(torch.__file__).parent))
    print(f"the environment has {clean / 1e6:.0f} MB, torch alone {torchs / 1e6:.0f} MB")
    assert clean < torchs / 2


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def test_both_hold_what_a_release_must(distributions):
    sdist, wheel = distributions
    for check, path in ((check_size, sdist), (check_size, wheel), (check_sdist, sdist), (check_wheel, wheel)):
        assert path.name in check(path)
