"""The direction of imports, and what importing the package must not do."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.imports import imports

ROOT = Path(__file__).parents[1]
ROOMS = {
    "hsic": "sslhsic_transfer/hsic",
    "data": "sslhsic_transfer/data",
    "metrics": "sslhsic_transfer/metrics",
    "models": "sslhsic_transfer/models",
    "hub": "sslhsic_transfer/hub",
    "training": "sslhsic_transfer/training",
    "embed": "sslhsic_transfer/embed",
    "evaluate": "sslhsic_transfer/evaluate",
    "pretrain": "pretrain",
    "adapters": "adapters",
    "transfer": "sslhsic_transfer/transfer",
}
# The rooms that each room may import; the modules of the package's root serve all and import no room.
_LOW = {"data", "metrics"}
_MODELS = _LOW | {"models", "hub"}
BELOW: dict[str, set[str]] = {
    "hsic": set(),
    "data": set(),
    "metrics": set(),
    "models": _LOW,
    "hub": _LOW | {"models"},
    "training": _MODELS,
    "embed": _MODELS,
    "evaluate": _MODELS | {"embed"},
    "pretrain": _MODELS | {"hsic", "training", "embed", "evaluate"},
    "adapters": _MODELS | {"training", "embed", "evaluate"},
    "transfer": _MODELS | {"training", "embed", "evaluate", "pretrain", "adapters"},
}
# Former places of `Encoder` and `create_encoder`, which lead on to the hub: lazily, and for type checkers.
LEADING_ON = {"sslhsic_transfer/models/__init__.py", "sslhsic_transfer/models/encoder.py"}
FRAMEWORKS = (
    "accelerate",
    "datasets",
    "detectron2",
    "lightly",
    "mmcv",
    "mmengine",
    "mmseg",
    "onnx",
    "onnxruntime",
    "timm",
    "sklearn",
    "jax",
    "haiku",
)


def imported_modules(path: Path, *, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else ast.walk(tree)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where a module lives"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def rooms_of(modules: set[str]) -> set[str]:
    parts = [module.split(".") for module in modules if module.startswith("sslhsic_transfer.")]
    return {part[1] for part in parts if part[1] in ROOMS}


SOURCES = [(room, path) for room, folder in ROOMS.items() for path in sorted((ROOT / folder).rglob("*.py"))]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize(("room", "path"), SOURCES, ids=lambda value: name(value) if isinstance(value, Path) else value)
def test_imports_point_downwards(room, path):
    if path.name == "__main__.py":
        return  # a door from outside to the command line
    modules = imported_modules(path)
    upwards = rooms_of(modules) - BELOW[room] - {room}
    assert upwards <= ({"hub"} if name(path) in LEADING_ON else set())
    assert "sslhsic_transfer.cli" not in modules


def test_former_places_name_what_they_lead_on_to_for_type_checkers_only():
    for source in LEADING_ON:
        modules = {module for module in imported_modules(ROOT / source) if module.startswith("sslhsic_transfer.hub.")}
        assert {module.rpartition(".")[2] for module in modules} == {"encoder", "Encoder", "create_encoder"}
    graph = imports()  # without what is for type checkers
    for module in ("sslhsic_transfer.models", "sslhsic_transfer.models.encoder"):
        assert "hub" not in rooms_of(graph[module])


def test_the_roots_modules_import_no_room():
    former = ROOT / "sslhsic_transfer/images.py"  # leads to where it is now
    for path in set((ROOT / "sslhsic_transfer").glob("*.py")) - {former}:
        assert not rooms_of(imported_modules(path, top_level_only=True)), path


def test_adapters_do_not_import_one_another():
    folders = [path for path in (ROOT / "adapters").iterdir() if path.is_dir()]
    for folder in folders:
        others = {f"sslhsic_transfer.adapters.{other.name}" for other in folders if other != folder}
        for path in folder.rglob("*.py"):
            assert not {module for module in imported_modules(path) if module.startswith(tuple(others))}, path


def test_optional_frameworks_are_imported_when_needed():
    for room, path in SOURCES:
        top = {module.split(".")[0] for module in imported_modules(path, top_level_only=True)}
        assert room == "adapters" or not top & set(FRAMEWORKS), path


def python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


NO_SOCKETS = """
import sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.bind", "urllib.Request"):
        raise RuntimeError(f"{event} {arguments}")
sys.addaudithook(refuse)
"""


def test_importing_the_package_loads_next_to_nothing_and_opens_no_socket():
    loaded = python(NO_SOCKETS + "import sslhsic_transfer; print(*sys.modules)").split()
    heavy = {"torch", "torchvision", "numpy", "PIL", "pydantic", "huggingface_hub", *FRAMEWORKS}
    assert not heavy & set(loaded)


def test_what_the_hub_adds_to_an_encoder_is_what_is_documented():
    from sslhsic_transfer import Encoder
    from sslhsic_transfer.models.encoder import EncoderBase

    added = {name for name in vars(Encoder) if not name.startswith("_")}
    assert added == {"from_pretrained", "from_torchvision", "from_timm", "save_pretrained", "push_to_hub"}
    assert not {name for name in added if hasattr(EncoderBase, name)}
    assert all(getattr(Encoder, name).__doc__ for name in added)


def test_what_is_public_loads_no_optional_framework_and_opens_no_socket():
    names = "Encoder, Preprocessing, SSLHSICLoss, create_encoder, from_pretrained, list_models"
    modules = "adapters.depth.model, sslhsic_transfer.adapters.torchvision.detection, sslhsic_transfer.hub.convert"
    code = f"from sslhsic_transfer import {names}; import sslhsic_transfer.{modules}; print(*sys.modules)"
    loaded = python(NO_SOCKETS + code).split()
    assert not {*FRAMEWORKS, "matplotlib", "pyarrow"} & set(loaded)


def test_configuration_and_preprocessing_load_without_torch():
    loaded = python("import sys; from sslhsic_transfer.models import EncoderConfig, Preprocessing; print(*sys.modules)")
    assert "torch" not in loaded.split()


def test_names_are_listed_and_unknown_ones_refused():
    import sslhsic_transfer

    assert {"Encoder", "from_pretrained", "hsic", "sample"} <= set(dir(sslhsic_transfer))
    for public in dir(sslhsic_transfer):
        assert getattr(sslhsic_transfer, public) is not None
    with pytest.raises(AttributeError, match="no attribute 'Encodr'"):
        _ = sslhsic_transfer.Encodr


def test_a_missing_package_names_its_install_command():
    from sslhsic_transfer._lazy import optional_import
    from sslhsic_transfer.errors import MissingDependencyError

    with pytest.raises(MissingDependencyError, match=r"pip install 'sslhsic-transfer\[onnx\]'"):
        optional_import("no_such_package.sub", extra="onnx", purpose="Exporting")
    with pytest.raises(ImportError):
        optional_import("no_such_package", extra="onnx", purpose="Exporting")


def test_former_places_lead_to_the_present_ones():
    from sslhsic_transfer.adapters.data.detection import find_detection
    from sslhsic_transfer.data.images import load_image
    from sslhsic_transfer.data.labelled import detection
    from sslhsic_transfer.images import load_image as former

    assert find_detection is detection.find_detection
    assert former is load_image


@pytest.mark.parametrize(
    "package", sorted({path.parent for _, path in SOURCES if path.name == "__init__.py"}), ids=name
)
def test_no_lazy_name_is_hidden_by_a_module_of_the_same_name(package):
    """An imported module becomes an attribute of its package, and a lazy name is asked for only where there is none."""
    text = (package / "__init__.py").read_text(encoding="utf-8")
    if "lazy_names(" not in text:
        return
    imported = {
        alias.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert not imported & {path.stem for path in package.glob("*.py")}
