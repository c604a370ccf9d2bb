"""Every command over inputs that cannot be used: one error, an exit status of 1 or 2, and nothing left behind."""

import json
import os
import shutil
from pathlib import Path

import pytest

ODD = os.fsdecode(b"caf\xe9")  # a name that is not UTF-8
DEEP = "[" * 100_000
# Files that are something else than what is expected of them.
FILES = ("missing", "folder", "empty", "page.html", "junk", "deep.json", "cut.safetensors", ODD)
RECIPES = tuple(name for name in FILES if name != "deep.json")


@pytest.fixture(scope="module")
def world(model_folder, digits, tmp_path_factory) -> Path:
    """Make a folder of good and bad inputs; commands must leave it unchanged."""
    root = tmp_path_factory.mktemp("world")
    shutil.copytree(model_folder, root / "model")
    shutil.copytree(digits, root / "digits")
    (root / "folder").mkdir()
    (root / "empty").write_bytes(b"")
    (root / "page.html").write_text("<!doctype html><html>Not found</html>")
    (root / "junk").write_bytes(bytes(range(256)) * 40)
    (root / "deep.json").write_text(DEEP)
    (root / "cut.safetensors").write_bytes((model_folder / "model.safetensors").read_bytes()[:1000])
    (root / ODD).write_bytes(b"\xff\xfe\x00")
    (root / "nothing").mkdir()
    (root / "unreadable").mkdir()
    (root / "unreadable" / "a.jpg").write_bytes(b"?")
    (root / "odd").mkdir()
    (root / "odd" / f"{ODD}.jpg").write_bytes(b"?")
    for name, text in (("models/deep", DEEP), ("models/empty", ""), ("models/list", "[]"), ("models/page", "<html>")):
        shutil.copytree(model_folder, root / name)
        (root / name / "config.json").write_text(text)
    shutil.copytree(model_folder, root / "models/cut")
    (root / "models/cut/model.safetensors").write_bytes(b"")
    config = json.loads((model_folder / "config.json").read_text())
    for key, value in (("encoder", None), ("preprocessing", [1]), ("fingerprint", "x")):
        shutil.copytree(model_folder, root / "models" / key)
        (root / "models" / key / "config.json").write_text(json.dumps(config | {key: value}))
    (root / "models/transfer-html").mkdir()
    (root / "models/transfer-html/transfer.json").write_text("<html>")
    for name, text in (("metrics", "[1]\n{}\n" + DEEP + "\n"), ("none", "")):
        (root / "runs" / name).mkdir(parents=True)
        (root / "runs" / name / "recipe.yaml").write_text("epochs: 1\n")
        (root / "runs" / name / "metrics.jsonl").write_text(text)
    (root / "run-of-another").mkdir()
    (root / "run-of-another" / "recipe.yaml").write_text("a: [")
    (root / "run-of-another" / "metrics.jsonl").write_text("{}\n")
    (root / "recipes").mkdir()
    for name, text in (
        ("deep", f"epochs: {DEEP}"),
        ("list", "[1]"),
        ("page", "<html>"),
        ("tab", "epochs:\t{"),
        ("bin", "\0"),
    ):
        (root / "recipes" / f"{name}.yaml").write_text(text)
    (root / "recipes" / "alias.yaml").write_text("a: &a [*a]\n")
    (root / "results").mkdir()
    for name, text in (
        ("deep", DEEP),
        ("number", '{"results": 3}'),
        ("rows", '{"results": [1]}'),
        ("nan", '{"results": [NaN]}'),
    ):
        (root / "results" / f"{name}.json").write_text(text)
    (root / "out.parquet").write_text("mine")
    return root


def snapshot(root: Path) -> list[tuple[Path, int]]:
    return [(path, path.stat().st_mtime_ns if path.is_file() else 0) for path in sorted(root.rglob("*"))]


def rows() -> list[tuple[str, ...]]:
    """List commands as they are typed in the folder of inputs; OUT is a path of their own."""
    found: list[tuple[str, ...]] = []

    def each(command: str, *values: str) -> None:
        found.extend(tuple(value if part == "_" else part for part in command.split()) for value in values)

    models = [
        f"./models/{n}" for n in ("deep", "empty", "list", "page", "cut", "encoder", "preprocessing", "fingerprint")
    ]
    runs = "digits --output OUT/run"
    each("embed _ digits/test --workers 0 --output OUT/o.parquet", *FILES, *models, "org/none", "a/b/c", "", ".", "\0")
    each("embed model _ --workers 0 --output OUT/o.parquet", *FILES, "nothing", "unreadable", "odd", "", "out.parquet")
    outputs = ("", ".", "/", "o.csv", "OUT", "empty/o.parquet", "/proc/o.parquet", "/dev/null/o.parquet", "out.parquet")
    each("embed model digits/test --workers 0 --output _", *outputs, f"OUT/{'x' * 300}.parquet", f"OUT/{ODD}.csv", "\0")
    each("embed model digits/test --output OUT/o.parquet --batch-size _", "0", "-1", "nan", "inf", "1.5", "", "x")
    each("embed model digits/test --output OUT/o.parquet --workers _", "-1", "nan", "x")
    each("embed model digits/test --output OUT/o.parquet --device _", "gpu", "cuda:99", "meta", "nan", "\0")
    each("embed model digits/test --output OUT/o.parquet --precision _", "fp8", "", "32")

    probe = "--train digits/train --test digits/test --workers 0 --output OUT/r.json"
    for kind in ("knn", "linear"):
        each(f"evaluate {kind} _ {probe}", "missing", "empty", "junk", "./models/deep", "./models/cut")
        each(
            f"evaluate {kind} model --train _ --test digits/test --output OUT/r.json",
            *FILES,
            "nothing",
            "digits/train/0",
        )
        each(f"evaluate {kind} model --train digits/train --test _ --output OUT/r.json", *FILES, "nothing", "digits")
        each(f"evaluate {kind} model {probe} --seeds _", "", "nan", "-1", "1,1", "1.5", "x", "9" * 5000)
        each(f"evaluate {kind} model {probe} --batch-size _", "0", "-3", "nan")
        each(f"evaluate {kind} model {probe} --device _", "gpu", "cuda:99", "meta")
        results = ("folder", "/proc/r.json", "empty", "page.html", "deep.json", ODD, "empty/r.json")
        each(
            f"evaluate {kind} model --train digits/train --test digits/test --workers 0 --output _",
            *results,
            *(f"results/{name}.json" for name in ("deep", "number", "rows", "nan")),
        )
    each(f"evaluate knn model {probe} --k _", "0", "-1", "nan", "1.5", "9" * 5000)
    each(f"evaluate linear model {probe} --val _", *FILES, "nothing", "digits")

    each(f"pretrain _ --data {runs}", *RECIPES, "", "none", "\0")
    each(f"pretrain _ --data {runs}", *(f"recipes/{n}.yaml" for n in ("list", "page", "tab", "bin", "alias")))
    each("pretrain demo --output OUT/run --data _", *FILES, "", "nothing", "hf://", "hf://x?streaming=maybe", "x://y")
    each(
        "pretrain demo --output OUT/run --data _",
        "torchvision://X",
        "torchvision://CIFAR10?root=missing",
        "s3://b",
        "\0",
    )
    each("pretrain demo --output OUT/run --data _", "missing-{0..3}.tar", "junk*", "hf://imagefolder?data_dir=missing")
    numbers = ("nan", "inf", "-1", "0", "x", "null", "[]", "{}", "1e400", "true", '""', "{")
    for key in (
        "epochs",
        "batch_size",
        "seed",
        "workers",
        "optimizer.learning_rate",
        "loss.gamma",
        "augmentation.size",
    ):
        allowed = {"seed": ("0",), "workers": ("0",), "optimizer.learning_rate": (), "loss.gamma": ("0",)}.get(key, ())
        each(f"pretrain demo _ --data {runs}", *(f"{key}={n}" for n in numbers if n not in allowed))
    each(f"pretrain demo _ --data {runs}", "=", "epochs", "no.such=1", "epochs.a=1", "batch_size=999")
    each("pretrain demo --data digits --output _", "run-of-another", "empty", "empty/run", "/proc/run", "\0")
    each("pretrain demo --data digits/train batch_size=2 --output _", "digits/train", "digits/train/run")
    each("pretrain demo --data digits --resume --output _", "run-of-another", "empty")
    each(
        f"pretrain demo _ --data {runs}",
        *(f"init_from={n}" for n in ("missing", "./models/deep", "junk", "torchvision/X")),
    )

    each("plot _ --output OUT/curves.png", *FILES, "runs/metrics", "runs/none", "model", "\0")
    each("plot runs/none --output _", "OUT/a.txt", "folder", "/proc/a.png")
    each("models _", "nothing-like-it", "[", "\0")

    for kind in ("haiku", "byol", "torch"):
        each(f"convert {kind} _ --output OUT/m", *FILES, "page.html", "\0")
    each("convert torchvision _ --output OUT/m", "", "resnet1", "vit_b_16", "\0")
    each("convert timm _ --output OUT/m", "", "resnet1", "vit_base_patch16_224", "\0")
    each("convert model _ --to mmseg --output OUT/m.pth", "missing", "junk", "./models/deep", "./models/cut")
    each("convert model model --to _ --output OUT/m.pth", "", "x")
    each("convert model model --to mmseg --output _", "empty/m.pth", "folder", "/proc/m.pth")
    each("convert torch model/model.safetensors --output OUT/m --resize _", "0", "-1", "nan", "x")
    each("convert torch model/model.safetensors --output _", "empty", "empty/m", "/proc/m")

    each("export _ --output OUT/m.onnx", "missing", "junk", "./models/deep", "./models/cut", "./models/transfer-html")
    each("export model --output _", "o.bin", "folder", "", "empty/m.onnx", "/proc/m.onnx")
    each("export model --output OUT/m.onnx --outputs _", "", "x", "pooled,pooled", ",")
    each("export model --output OUT/m.onnx --opset _", "0", "-1", "999", "x")
    each("export model --output OUT/m.onnx --size _", "0", "-1", "31", "nan")
    each("export model --output OUT/m.onnx --batch _", "0", "-1", "nan")
    each("export model --output OUT/m.onnx --precision int8 --calibration _", "missing", "nothing")
    each("export model --output OUT/m.onnx --pictures _", "missing", "junk")
    percentile = "export model --output OUT/m.onnx --precision int8 --method percentile --calibration digits/test"
    each(f"{percentile} --percentile _", "nan", "inf", "-1", "101", "x")
    each("verify _ model", *FILES, "out.parquet", "\0")
    each("publish _ --repo me/x --dry-run", *FILES, *models, "\0")
    each("publish model --dry-run --repo _", "", "x", "a/b/c", "a b/c", "\0")
    each("publish model --repo me/x --dry-run --fact _", "", "x", "=")

    small = "iterations=1 warmup=0 batch_size=2 workers=0"
    for task in ("classification", "segmentation", "detection", "depth"):
        each(f"transfer {task} model --data _ --output OUT/run {small}", *FILES, "nothing", "digits/train/0", "\0")
        each(f"transfer {task} _ --data digits --output OUT/run {small}", "missing", "./models/deep", "./models/cut")
        each(f"transfer {task} model --data digits --output OUT/run _", *(f"iterations={n}" for n in numbers))
        each(f"transfer {task} model --data digits --output OUT/run _", "learning_rate=nan", "no=1", "=", "x", "a.b=1")
    each(
        f"transfer classification model --data digits --output OUT/run {small} --init _",
        "missing",
        "junk",
        "./models/cut",
    )
    each(f"transfer classification model --data digits {small} --output _", "run-of-another", "empty", "/proc/run")
    return found


def _name(row: tuple[str, ...]) -> str:
    return (
        " ".join(part if len(part) < 40 else f"{part[:40]}…" for part in row)
        .encode("ascii", "backslashreplace")
        .decode()
    )


@pytest.mark.filterwarnings("ignore:No class comes of folders")
@pytest.mark.parametrize("row", rows(), ids=_name)
def test_is_one_error_and_leaves_nothing(row, world, sslhsic_here, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # which it has read by now
    for entry in world.iterdir():
        (tmp_path / entry.name).symlink_to(entry)
    (tmp_path / "OUT").mkdir()
    before = sorted(tmp_path.rglob("*")), snapshot(world)
    failed = sslhsic_here(*row, check=False)
    lines = failed.stderr.splitlines()
    assert failed.returncode in (1, 2), failed.stdout + failed.stderr
    assert "Traceback" not in failed.stderr
    assert "a fault of sslhsic-transfer" not in failed.stderr
    if failed.returncode == 1:
        assert sum(line.startswith("error: ") for line in lines) == 1, failed.stderr
        assert len(failed.stderr) < 6000
    assert (sorted(tmp_path.rglob("*")), snapshot(world)) == before
