"""Figures in sentences are those that were measured: of docs/measured, of the cards, or of the table beside them."""

import json
import math
import re
from functools import cache
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import reports
from benchmarks.loss import exponent
from benchmarks.transfer import INITS, ROWS
from sslhsic_transfer import create_encoder
from sslhsic_transfer.hsic import KERNELS, SSLHSICLoss
from sslhsic_transfer.models.resnet_shapes import ARCHITECTURES
from sslhsic_transfer.pretrain.recipe_file import SHIPPED
from sslhsic_transfer.results import Result, load_results
from tests.docs.pages import ROOT, measured, read, says, table
from tests.hub.convert.foreign_layouts import LAYOUTS
from tools.gpu_checks.table import CHECKS

LOW_NOISE = "**low noise**: orthogonal, cosine and sine, positive pairs by the kernel"


@cache
def card(name: str) -> list[Result]:
    return load_results(ROOT / "model_cards" / name / "results.json")


def facts(name: str) -> Any:
    return json.loads(read(f"model_cards/{name}/config.json"))["metadata"]


def labelled(name: str, share: str) -> tuple[str, str]:
    """Return top-1 with a share of the labels: pretrained, and from random weights."""
    found = {r.model: r for r in card(name) if r.task == f"classification, {share} of labels" and r.metric == "top-1"}
    (random,) = found.keys() - {name}
    return tuple(found[model].figure().removesuffix(" %") for model in (name, random))


def mean(figure: str) -> str:
    return figure.split(" ±")[0]


def gains(name: str) -> dict[tuple[str, str], float]:
    """Return how far the pretrained network is ahead of the random one: data and metric -> difference."""
    found = {}
    for result in card(name):
        if result.task in ("segmentation", "detection", "depth") or result.task.startswith("classification"):
            sign = 1 if result.model.startswith("sslhsic") else -1
            key = (f"{result.task}: {result.tested}", result.metric)
            found[key] = found.get(key, 0) + sign * result.value
    return found


def test_few_labels():
    r18, random18 = labelled("sslhsic-r18", "1 %")
    says(
        "README.md",
        f"fine-tuned `sslhsic-r18` reaches {r18} % top-1. The same network from random weights reaches {random18} %",
    )
    (linear,) = [r.figure() for r in card("sslhsic-r18") if r.task == "linear" and r.model == "sslhsic-r18"
                 and r.dataset == "imagenette128"]  # fmt: skip
    says("docs/tutorials/classify.md", f"a linear probe gets {mean(linear)} % with `sslhsic-r18`")


def test_pictures_that_the_encoders_learned_from():
    assert {facts(name)["pictures"] for name in ("sslhsic-r18", "sslhsic-r50")} == {27_469} == {9_469 + 18_000}
    assert {facts(name)["epochs"] for name in ("sslhsic-r18", "sslhsic-r50")} == {12}
    says("README.md", "trained on 27 thousand small pictures on a CPU")
    says("docs/models.md", "27,469 small pictures", "twelve more in smaller batches")


def test_which_of_the_encoders_is_better():
    """models.md: frozen, the smaller one in most rows; fine-tuned, the larger one gains more."""
    frozen = {
        name: {(r.task, r.tested): r.value for r in card(name) if r.task in ("knn", "linear") and r.model == name}
        for name in ("sslhsic-r18", "sslhsic-r50")
    }
    pairs = [(value, frozen["sslhsic-r50"][row]) for row, value in frozen["sslhsic-r18"].items()]
    assert len(pairs) == 10
    assert sum(small >= large for small, large in pairs) > 5
    small, large = gains("sslhsic-r18"), gains("sslhsic-r50")
    dense = [key for key in large if not key[0].startswith(("depth", "classification"))]
    assert all(small[key] > 0 and large[key] > 0 for key in dense), "ahead in every row"
    assert len([key for key in dense if large[key] <= small[key]]) == 1, "by more in all but one"
    few = [key for key in large if key[0].startswith("classification") and key[1] == "top-1"]
    assert len(few) == 2
    assert all(large[key] > small[key] > 0 for key in few)


def test_depth_of_one_room():
    """Worse from sslhsic-r18 by every measure; sslhsic-r50 ahead by RMSE and δ1, level by AbsRel."""
    small, large = (
        {metric: gain for (task, metric), gain in gains(name).items() if task.startswith("depth")}
        for name in ("sslhsic-r18", "sslhsic-r50")
    )
    assert small["abs_rel"] > 0
    assert small["rmse"] > 0
    assert small["delta1"] < 0
    assert large["rmse"] < -0.01
    assert large["delta1"] > 0.01
    assert abs(large["abs_rel"]) < 0.005
    says(
        "docs/dense.md",
        "**Depth is worse for `sslhsic-r18` on this test split**",
        "`sslhsic-r50` is ahead by RMSE and δ1",
    )


def test_onnx_files_beside_torch():
    """Ratios of the table of docs/onnx.md: images a second at 1 and 32."""
    rows = table("docs/onnx.md", "| | images/s")
    speed = {name: (float(cells[0]), float(cells[2])) for name, cells in rows.items()}
    ours, int8, eager = speed["ours fp32"], speed["ours int8"], speed["torch fp32"]
    compiled = [a / b for a, b in zip(speed["torch.compile fp32"], eager, strict=True)]
    against = [a / b for a, b in zip(int8, eager, strict=True)]
    assert [round(a / b, 1) for a, b in zip(ours, eager, strict=True)] == [1.5, 1.5]
    says(
        "docs/onnx.md",
        f"`torch.compile` is {compiled[0]:.1f} and {compiled[1]:.1f} times as fast",
        f"int8 is {int8[0] / ours[0]:.1f} times as fast as the float32 file at 1"
        f" and {int8[1] / ours[1]:.1f} times at 32**"
        f" ({against[0]:.1f} and {against[1]:.1f} times eager torch)",
        f"within {float(rows['torch fp32'][6]) - float(rows['ours int8'][6]):.2f} points",
    )
    says(
        "README.md",
        f"`sslhsic-r50` embeds {int8[1]:.0f} pictures of 224 pixels a second on two CPU cores,"
        f" {against[1]:.1f} times as many as torch,"
        f" and {float(rows['ours int8'][7]):.1f} % of the pictures keep their class by 20-NN",
    )


def test_speed_and_memory_of_one_cpu():
    """docs/data.md: ratios within a round, and what the command that embeds takes."""
    embed = measured("picture-memory")["embed"]
    says(
        "docs/data.md",
        reports.within_a_round(measured("pretrain")),
        f"For one JPEG of {embed['megapixels']:.0f} million pixels `sslhsic embed` takes {embed['peak GB']:.1f} GB in"
        f" all, for a tiny one {embed['peak GB of a tiny picture']:.1f}.",
    )
    growth = 1e9 * (embed["peak GB"] - embed["peak GB of a tiny picture"]) / (1e6 * embed["megapixels"])
    assert growth == pytest.approx(measured("picture-memory")["bytes a pixel"]["JPEG"], rel=0.1), "as the table says"


def test_records_say_where_figures_come_from():
    """A measurement has date, commit and hardware; one whose file was not kept says from which page it comes."""
    for name in ("shared-cpu", "pretrain", "onnx", "demo", "six-objectives", "load", "picture-memory"):
        facts = measured(name)["measured"]
        assert re.fullmatch(r"[0-9a-f]{40}", facts["commit"]), name
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", facts["date"]), name
        assert facts["hardware"]
        assert facts.get("note") or facts["carried over"].startswith("as printed in ")


def test_the_gpus_speed():
    rows = {row["name"]: row["value"] for row in measured("gpu-benchmark")["parts"]["pretrain"]["rows"]}
    others = measured("gpu-others")
    engine, bare = rows["resnet18-96: engine, from its cache"], rows["resnet18-96: bare step"]
    graph = 256e3 / rows["resnet18-96: bare step, CUDA graph"]
    says("docs/status.md", f"at {round(engine, -2):,.0f} pictures a second with ResNet-18 at 96 pixels")
    slow = 256e3 / others["bare step, images/s"]
    assert 32 <= round(256e3 / bare) <= round(slow) <= 50
    assert abs(others["three steps on the GPU, ms"] / 3 - 16) < 0.5
    assert graph < 17
    says(
        "docs/gpu.md",
        f"launches some {round(others['kernels a step'], -2):,} kernels",
        f"the bare step made {others['bare step, images/s']:,} pictures a second, and compiled by torch.compile"
        f" {others['bare step, compiled, images/s']:,}",
        f"falls short of the goal**: {rows['resnet50-224: cache / bare step']:.2f} of the bare step",
        f"(Triton): {others['demo, first step, s']:.0f} seconds in one run",
        f"(k-NN {100 * others['demo, k-NN after four epochs']:.1f} % after four epochs)",
        f"**one {measured('gpu-benchmark')['facts']['card']}**",
        f"driver {measured('gpu-benchmark')['facts']['driver']}",
    )
    assert others["card"] == measured("gpu-benchmark")["facts"]["card"] == measured("gpu-check")["machine"]["gpu"]


def test_the_gpus_checks():
    document = measured("gpu-check")
    figures = {c["name"]: {f["name"]: f["value"] for f in c["figures"]} for c in document["checks"]}
    failed = [check["name"] for check in document["checks"] if check["outcome"] == "failed"]
    assert failed == ["pretraining.cache-device", "pretraining.resume"]
    resumed = figures["pretraining.resume"]
    assert figures["pretraining.resume-deterministic"]["equal to the last bit"] == 1
    says(
        "docs/gpu.md",
        f"{len(document['checks'])} checks of the library",
        f"The checks ran once, in {document['seconds']:.0f} s",
        f"They were {100 * resumed['relative difference of weights']:.0f} % apart, with k-NN within"
        f" {100 * resumed['k-NN, difference']:.1f} points",
        "ended with the same weights to the last bit",
    )
    assert len(CHECKS) == len(document["checks"])


def test_the_cost_of_the_loss():
    rows = [row for row in measured("loss")["rows"] if row["dim"] == 2048]
    features = exponent([row for row in rows if row["name"] == "SSL-HSIC, features"])
    auto = exponent([row for row in rows if row["name"] == "SSL-HSIC, auto" and row["size"] >= 4096])
    says("docs/objective.md", f"(exponents {features:.2f} and {auto:.2f})")


def test_noise_of_random_features():
    keyed = {(row["way"], row["images"], row["features"]): row for row in measured("features")}
    found = {key: row["noise"] for key, row in keyed.items()}
    settings = [(256, 512), (256, 2048), (2048, 512), (2048, 2048)]
    paper = [found["the paper's", images, count] for images, count in settings]
    assert 2 <= paper[0] < 2.5, "twice as much noise as signal"
    assert round(paper[0] / math.sqrt(128), 1) == 0.2, "128 devices leave 0.2"
    for at, *_ in zip(settings, paper, strict=True):
        low = found[LOW_NOISE, *at]
        seconds = [keyed[way, *at]["seconds"] for way in (LOW_NOISE, "the paper's")]
        assert seconds[0] < 1.1 * seconds[1], "in the same time"
        orthogonal, sines, both = (
            found[way, *at] for way in ("orthogonal directions", "a cosine and a sine for each", "both")
        )
        assert orthogonal > 0.9 * found["the paper's", *at], "alone they gain little"
        assert both < 0.92 * min(sines, orthogonal), "together with the sines they do"
        assert found["quasi-random, a cosine and a sine", *at] > both
        assert found["quasi-random, positive pairs by the kernel", *at] > low, "Sobol was worse"
        assert 4 <= round(found["the paper's", *at] / low) <= 5, "four to five times smaller"
        assert found["low noise, 4 pairs of draws", *at] == pytest.approx(low / 2, rel=0.3)


def test_where_the_loss_changes_its_form():
    """At d = 256 and D = 512 up to about 2,300 rows."""
    loss = SSLHSICLoss(num_features=512)
    last = max(
        rows for rows in range(1000, 4000, 20) if loss.is_exact([torch.empty(rows // 2, 256, requires_grad=True)] * 2)
    )
    assert 2250 <= last <= 2350, last
    for page in ("docs/objective.md", "docs/pretraining.md"):
        says(page, "up to about 2,300 rows")


def test_what_small_batches_leave():
    """Three times (1 − k̄) / √B for orthogonal embeddings."""
    points = torch.eye(2, dtype=torch.float64)
    least = 3 * (1 - KERNELS["imq"].matrix(points, points, 1.0)[0, 1].item())
    said = [f"{least / math.sqrt(batch):.2f}" for batch in (4096, 256)]
    says("docs/objective.md", f"{said[0]} at B = 4096 and {said[1]} at B = 256")
    says("docs/pretraining.md", f"{said[0]} of its γ-fold at 4096 and {said[1]} at 256")


def test_what_there_is_so_many_of():
    said = read("docs/status.md")
    assert f"PyTorch checkpoints in {len(LAYOUTS)} layouts" in said
    assert f"{['', 'one', 'two', 'three', 'four', 'five'][len(KERNELS)]} kernels" in said
    assert "ResNet-" + "/".join(name.removeprefix("resnet") for name in ARCHITECTURES) in said
    shipped = {file.stem for file in SHIPPED.glob("*.yaml")}
    (listed,) = re.findall(r"one that ships \((.*?)\)", " ".join(read("docs/getting-started.md").split()))
    assert set(re.findall(r"`([\w-]+)`", listed)) == shipped
    cells = len(list((ROOT / "tests/pictures/bccd/VOC2007/JPEGImages").iterdir()))
    assert f"{['twelve'][cells - 12]} pictures of [BCCD]" in " ".join(read("README.md").split())


def test_what_the_encoders_cost():
    """models.md: the smaller one has less than half of the larger one's arithmetic."""
    operations = {}
    for name in ("resnet18", "resnet50"):
        encoder = create_encoder(name).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            encoder(torch.zeros(1, 3, 224, 224))
        operations[name] = counter.get_total_flops()
    assert operations["resnet18"] < operations["resnet50"] / 2


def test_no_loss_is_tried_beyond_eight_seconds():
    """The largest size of each took longer, or is the largest of all."""
    rows = measured("loss")["rows"]
    largest = max(row["size"] for row in rows)
    found = {(row["name"], row["dim"]): row for row in sorted(rows, key=lambda row: row["size"])}
    for row in found.values():
        assert row["size"] == largest or row["seconds"] > 8, row
        before = [other["seconds"] for other in rows if (other["name"], other["dim"]) == (row["name"], row["dim"])]
        assert sum(seconds > 8 for seconds in before) <= 1


def test_how_dense_tasks_were_compared():
    """docs/dense.md: which settings were not the command's defaults, and how many runs there were."""
    changed = {setting.split("=")[0] for row in ROWS.values() for setting in row.settings}
    size = {"iterations", "warmup", "batch_size", "resize", "crop", "scale", "sides", "proposals", "sampled_regions"}
    assert changed - size == {"precision", "test", "label_share", "workers", "checkpoint_every"}
    says("docs/dense.md", f"{len(ROWS) * len(INITS) * 3} runs", "Steps, batches, sizes and precision were set")
    protocols = {r.task: r.protocol for r in card("sslhsic-r18")}
    for task, settings in {
        "segmentation": "iterations 200, batch_size 8",
        "detection": "iterations 80, batch_size 4",
        "depth": "iterations 200, batch_size 8",
    }.items():
        assert settings in protocols[task]
    seeds = {tuple(r.seeds) for name in ("sslhsic-r18", "sslhsic-r50") for r in card(name)
             if r.task in ("segmentation", "detection", "depth")}  # fmt: skip
    assert seeds == {(0, 1, 2)}


@pytest.mark.parametrize("name", ["sslhsic-r18", "sslhsic-r50"])
def test_what_lies_in_a_shipped_folder(name):
    listed = {file for cell in table("docs/models.md", "| file | what") for file in re.findall(r"`([^`]+)`", cell)}
    assert {file.name for file in (ROOT / "model_cards" / name).iterdir()} == listed | {"model.safetensors"}
