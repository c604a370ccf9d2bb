"""Figures in sentences are those that were measured: of docs/measured, of the cards, or of the table beside them."""

import json
import math
import re
import statistics
from functools import cache
from typing import Any

import pytest
import torch

from benchmarks.loss import exponent
from sslhsic_transfer.hsic import KERNELS, SSLHSICLoss
from sslhsic_transfer.models.config import ARCHITECTURES
from sslhsic_transfer.pretrain.recipe_file import SHIPPED
from sslhsic_transfer.results import Result, load_results
from tests.docs.pages import ROOT, read, says, table
from tests.hub.convert.foreign_layouts import LAYOUTS
from tools.gpu_checks.table import CHECKS

LOW_NOISE = "**low noise**: orthogonal, cosine and sine, positive pairs by the kernel"


@cache
def measured(name: str) -> Any:
    return json.loads(read(f"docs/measured/{name}.json"))


@cache
def card(name: str) -> list[Result]:
    return load_results(ROOT / "model_cards" / name / "results.json")


def facts(name: str) -> Any:
    return json.loads(read(f"model_cards/{name}/config.json"))["metadata"]


def labelled(name: str, share: str) -> tuple[str, str]:
    """Top-1 with a share of the labels: pretrained, and from random weights."""
    found = {r.model: r for r in card(name) if r.task == f"classification, {share} of labels" and r.metric == "top-1"}
    (random,) = found.keys() - {name}
    return tuple(found[model].figure().removesuffix(" %") for model in (name, random))


def mean(figure: str) -> str:
    return figure.split(" ±")[0]


def gains(name: str) -> dict[tuple[str, str], float]:
    """How far the pretrained network is ahead of the random one: data and metric -> difference."""
    found = {}
    for result in card(name):
        if result.task in ("segmentation", "detection", "depth") or result.task.startswith("classification"):
            sign = 1 if result.model.startswith("sslhsic") else -1
            key = (f"{result.task}: {result.tested}", result.metric)
            found[key] = found.get(key, 0) + sign * result.value
    return found


def test_few_labels():
    (r18, random18), (r50, random50) = labelled("sslhsic-r18", "1 %"), labelled("sslhsic-r50", "1 %")
    tenth = [mean(figure) for name in ("sslhsic-r18", "sslhsic-r50") for figure in labelled(name, "10 %")]
    says(
        "README.md",
        f"a fine-tuned `sslhsic-r18` reaches {r18} % top-1, the same network from random weights {random18} %",
        f"(`sslhsic-r50`: {r50} against {random50} %)",
        f"with a tenth of the labels it is {tenth[0]} against {tenth[1]} % ({tenth[2]} against {tenth[3]} %)",
    )
    (linear,) = [r.figure() for r in card("sslhsic-r18") if r.task == "linear" and r.model == "sslhsic-r18"
                 and r.dataset == "imagenette128"]  # fmt: skip
    says("docs/tutorials/classify.md", f"a linear probe gets {mean(linear)} % with `sslhsic-r18`")


def test_pictures_that_the_encoders_learned_from():
    assert {facts(name)["pictures"] for name in ("sslhsic-r18", "sslhsic-r50")} == {27_469} == {9_469 + 18_000}
    assert {facts(name)["epochs"] for name in ("sslhsic-r18", "sslhsic-r50")} == {12}
    says("README.md", "trained on 27 thousand small pictures on a CPU")
    says("docs/models.md", "27,469 small pictures", "for twelve more in smaller batches")


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


def test_the_gpus_speed():
    rows = {row["name"]: row["value"] for row in measured("gpu-benchmark")["parts"]["pretrain"]["rows"]}
    others = measured("gpu-others")
    engine, bare = rows["resnet18-96: engine, from its cache"], rows["resnet18-96: bare step"]
    graph = 256e3 / rows["resnet18-96: bare step, CUDA graph"]
    says("README.md", f"at {round(engine, -2):,.0f} pictures a second with ResNet-18 at 96 pixels")
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


def trials() -> dict[str, dict[str, tuple[float, float]]]:
    """Tuning at batches of 256: objective -> changed settings -> k-NN and linear probe."""
    found: dict[str, dict[str, tuple[float, float]]] = {"ssl-hsic": {}, "simclr": {}}
    text = read("docs/comparison.md").split("## What tuning did")[1]
    for name, changed, knn, linear in re.findall(
        r"^\| ([\w-]+) \| (.+?) \| ([\d.]+) \| ([\d.]+) \|", text, re.MULTILINE
    ):
        found[name][changed.replace("`", "")] = (float(knn), float(linear))
    return found


def test_six_objectives():
    rows = {name: tuple(map(float, cells)) for name, cells in table("docs/comparison.md", "| | weighted").items()}
    ours, simclr = rows["SSL-HSIC"], rows["SimCLR"]
    assert ours[0] == max(knn for knn, _ in rows.values())
    assert [len(tried) for tried in trials().values()] == [23, 23]
    says("README.md", "23 tuning trials each for SSL-HSIC and SimCLR, none for the others")
    assert max(linear for _, linear in trials()["simclr"].values()) == 53.1
    best = trials()["ssl-hsic"]["target_decay=0.9, loss.num_features=2048"]
    says(
        "docs/comparison.md",
        f"SSL-HSIC is ahead in k-NN by {ours[0] - simclr[0]:.1f} points and level with SimCLR in the linear probe"
        f" ({simclr[1] - ours[1]:.1f} behind)",
        f"SimCLR was still ahead in the linear probe (53.1 against {best[1]})",
    )


def test_what_tuning_did():
    ours, simclr = trials()["ssl-hsic"], trials()["simclr"]
    decay, many = ours["target_decay=0.9"], ours["target_decay=0.9, loss.num_features=2048"]
    scale = ours["target_decay=0.9, loss.initial_scale=0.5"]
    twice = ours["target_decay=0.9, loss.num_features=2048, loss.initial_scale=2"]
    gauss = ours["target_decay=0.9, loss.num_features=2048, loss.kernel=gaussian"]
    sharp = ours["target_decay=0.9, loss.num_features=2048, loss.kernel=gaussian, loss.initial_scale=0.5"]
    biased, base = ours["loss.gamma=0.75, loss.regularizer=biased"], ours["–"]
    alone = ours["objective=ssl-hsic-no-target, loss.num_features=2048"]
    says(
        "docs/comparison.md",
        f"2048 instead of the paper's 512: k-NN {decay[0]} to {many[0]}",
        f"0.9 instead of 0.95 for so few steps: linear {base[1]} to {decay[1]}",
        f"far less: {alone[0]} and {alone[1]}",
        f"lost {base[0] - biased[0]:.0f} and {base[1] - biased[1]:.1f} points",
        f"0.5 lost {decay[0] - scale[0]:.1f} and {decay[1] - scale[1]:.1f} points,"
        f" 2 lost {many[0] - twice[0]:.1f} and {many[1] - twice[1]:.1f}",
        f"a sharper one of 0.5 lost {gauss[0] - sharp[0]:.1f} and {gauss[1] - sharp[1]:.1f}",
        f"the temperature (0.5 to 0.1: k-NN {simclr['–'][0]} to {simclr['rivals.temperature=0.1'][0]})",
    )


def test_batches_of_64():
    rows = [row for row in measured("comparison") if row["batch_size"] == 64 and "seed" in row]
    knn, linear = (
        {
            name: [row[probe] for row in rows if row["contender"] == name and row["epochs"] == 6]
            for name in ("ssl-hsic", "simclr")
        }
        for probe in ("knn", "linear")
    )
    for probe in (knn, linear):
        ours, theirs = probe["ssl-hsic"], probe["simclr"]
        assert len(ours) == len(theirs) == 3
        spread = max(statistics.stdev(ours), statistics.stdev(theirs))
        assert statistics.mean(ours) - statistics.mean(theirs) > 2 * spread, "ahead by several deviations"
    older = table("docs/comparison.md", "| | weighted")["SSL-HSIC"]
    ahead = [
        100 * statistics.mean(probe["ssl-hsic"]) - float(old) for probe, old in zip((knn, linear), older, strict=True)
    ]
    says("docs/pretraining.md", f"by {ahead[0]:.0f} points of 20-NN and {ahead[1]:.0f} of linear probe")
    reached = [100 * statistics.mean(probe["ssl-hsic"]) for probe in (knn, linear)]
    says("docs/training-log.md", f"{reached[0]:.1f} and {reached[1]:.1f} % after six epochs")


def test_blocks_that_begin_as_their_shortcut():
    rows = table("docs/training-log.md", "| differences")
    says("docs/pretraining.md", f"is {rows['`zero_init_residual=true`'][0]} % with it and {rows['–'][0]} % without")


def test_what_there_is_so_many_of():
    said = read("README.md")
    assert f"PyTorch checkpoints in {len(LAYOUTS)} layouts" in said
    assert f"{['', 'one', 'two', 'three', 'four', 'five'][len(KERNELS)]} kernels" in said
    assert "ResNet-" + "/".join(name.removeprefix("resnet") for name in ARCHITECTURES) in said
    shipped = {file.stem for file in SHIPPED.glob("*.yaml")}
    (listed,) = re.findall(r"one that ships \((.*?)\)", " ".join(said.split()))
    assert set(re.findall(r"`([\w-]+)`", listed)) == shipped
    cells = len(list((ROOT / "tests/pictures/bccd/VOC2007/JPEGImages").iterdir()))
    assert f"{['twelve'][cells - 12]} pictures of [BCCD]" in " ".join(said.split())
