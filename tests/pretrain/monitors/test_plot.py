import json
import os
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from sslhsic_transfer.errors import ConfigError, RunNotFoundError
from sslhsic_transfer.pretrain import pretrain
from sslhsic_transfer.pretrain.monitors.panels import PANELS, draw_curve, grid_shape, smoothed
from sslhsic_transfer.pretrain.monitors.plot import as_curves, axis_of, plot_runs, read_records, run_names


@pytest.fixture(scope="module")
def run(tiny, digits, tmp_path_factory):
    """A real run of nine steps."""
    folder = tmp_path_factory.mktemp("real") / "run"
    pretrain(tiny.model_copy(update={"trackers": []}), digits, folder, progress=False)
    return folder


def write(folder, records, end="\n"):
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("\n".join(json.dumps(record) for record in records) + end)
    return folder


def steps(count, **figures):
    return [{"step": i, "epoch": i / 10, "loss": 1 / i, "hours_left": 1.0, **figures} for i in range(1, count + 1)]


def read_curves(folder):
    records = read_records(folder)
    return as_curves(records, axis_of([records]))


def texts(svg):
    """Read the texts of a picture, each once, in the file's order: Matplotlib leaves them as comments."""
    return [
        line.strip()[5:-4] for line in svg.read_text(encoding="utf-8").splitlines() if line.strip().startswith("<!-- ")
    ]


def test_a_real_runs_figures_are_all_drawn(run, tmp_path):
    curves = read_curves(run)
    assert set(curves) >= {"loss", "knn", "hsic_zy", "hsic_zz", "kernel_scale", "learning_rate", "images_per_second"}
    assert not {"step", "epoch", "hours_left"} & set(curves)
    assert set(curves) <= set(PANELS), "a figure that the loop logs has no title here"
    assert curves["loss"][0] == pytest.approx([16 * step / 72 for step in range(1, 10)], abs=1e-4)
    assert len(curves["knn"][0]) == 2

    written = texts(plot_runs([run], tmp_path / "curves.svg"))
    titles = [PANELS[name].title for name in PANELS if name in curves]
    assert [text for text in written if text in titles] == titles
    assert written.count("epoch") == grid_shape(len(titles))[1], "below each column, once"
    assert "run" in written
    assert {"accuracy, %", "pictures/s"} <= set(written)


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".PDF", b"%PDF"), (".svg", b"<?xml")])
def test_the_ending_chooses_the_format_and_an_older_picture_is_replaced(suffix, start, tmp_path):
    folder = write(tmp_path / "run", steps(40))
    output = tmp_path / f"curves{suffix}"
    output.write_bytes(b"old")
    assert plot_runs([folder], output) == output
    assert output.read_bytes().startswith(start)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([output.name, "run"]), "no temporary file stays"


def test_each_run_has_its_color(tmp_path):
    folders = [write(tmp_path / name, steps(50, knn=level)) for name, level in (("a", 0.2), ("b", 0.4))]
    with Image.open(plot_runs(folders, tmp_path / "curves.png", ["knn"])) as image:
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    for color in ((31, 119, 180), (255, 127, 14)):
        assert (pixels == color).all(axis=1).sum() > 200


def test_panels_come_in_a_fixed_order_and_unknown_figures_last(tmp_path):
    first = write(tmp_path / "one", steps(3, zeta=1.0, learning_rate=0.1))
    second = write(tmp_path / "two", [*steps(3, alpha=2, hsic_zy=0.1), {"step": 3, "epoch": 0.3, "knn": 0.5}])
    wanted = ["loss", "online k-NN", "HSIC(Z, Y)", "learning rate", "alpha", "zeta"]
    written = texts(plot_runs([first, second], tmp_path / "curves.svg"))
    assert [text for text in written if text in wanted] == wanted
    assert "hours_left" not in written


def test_metrics_are_drawn_in_the_order_asked_for(tmp_path):
    folder = write(tmp_path / "run", steps(3, learning_rate=0.1, zeta=1.0))
    written = texts(plot_runs([folder], tmp_path / "curves.svg", ["zeta", "loss", "zeta"]))
    assert [text for text in written if text in ("zeta", "loss", "learning rate")] == ["zeta", "loss"]


def test_runs_that_share_a_name_are_told_apart(tmp_path):
    root = tmp_path.resolve()
    paths = [root / "monday" / "run", root / "tuesday" / "run", root / "other"]
    assert run_names(paths) == ["monday/run", "tuesday/run", "other"]
    deep = [root / "a" / "x" / "run", root / "b" / "x" / "run"]
    assert run_names(deep) == ["a/x/run", "b/x/run"]
    assert run_names([root / "run", root / "run" / "run"])[1] == "run/run"


def test_a_run_named_twice_is_drawn_once(tmp_path, monkeypatch):
    folder = write(tmp_path / "run", steps(3))
    monkeypatch.chdir(folder)
    assert texts(plot_runs([".", folder], tmp_path / "curves.svg")).count("run") == 1


def test_names_are_text_whatever_they_mean_to_matplotlib(tmp_path):
    folders = [write(tmp_path / name, steps(3, **{"a$_b$": 1.0})) for name in ("_hidden", "$x^2$", "ℓ2 and é")]
    written = texts(plot_runs(folders, tmp_path / "curves.svg"))
    assert {"_hidden", "$x^2$", "ℓ2 and é", "a$_b$"} <= set(written)


def test_twelve_runs_and_long_names_fit(tmp_path):
    folders = [write(tmp_path / f"a-long-name-of-a-run-with-settings-in-it-{i}", steps(5)) for i in range(12)]
    with Image.open(plot_runs(folders, tmp_path / "curves.png")) as image:
        pixels = np.asarray(image.convert("L"))
    assert (pixels[:, -2:] == 255).all(), "something runs out of the picture"


def test_a_run_going_on_with_a_line_half_written_can_be_drawn(tmp_path):
    folder = write(tmp_path / "run", steps(4), end='\n{"step": 5, "epo')
    assert len(read_curves(folder)["loss"][0]) == 4
    assert plot_runs([folder], tmp_path / "curves.png").exists()


def test_fine_tunes_are_drawn_over_their_steps_and_what_is_beside_them_too(tmp_path):
    tuned = write(tmp_path / "tuned", [{"step": 20 * i, "loss": 1 / i} for i in (1, 2, 3)])
    pretrained = write(tmp_path / "pretrained", steps(3))
    assert read_curves(tuned)["loss"][0] == [20, 40, 60]
    assert "step" in texts(plot_runs([tuned], tmp_path / "curves.svg"))
    both = texts(plot_runs([tuned, pretrained], tmp_path / "curves.svg"))
    assert "step" in both
    assert "epoch" not in both


def test_values_that_are_no_finite_numbers_are_passed_over(tmp_path):
    lines = [*steps(2, note="text", flag=None), {"step": 3, "epoch": 0.3, "loss": float("nan"), "knn": float("inf")}]
    assert read_curves(write(tmp_path / "run", lines)) == {"loss": ([0.1, 0.2], [1.0, 0.5])}


def test_smoothing_keeps_constants_and_slopes_and_shifts_nothing():
    assert smoothed([2.0] * 60, 4) == pytest.approx([2.0] * 60)
    slope = [float(i) for i in range(200)]
    assert smoothed(slope, 4)[4:-4] == pytest.approx(slope[4:-4])
    assert smoothed([0.0, 0.0, 0.0, 9.0, 0.0, 0.0, 0.0], 1) == pytest.approx([0, 0, 3, 3, 3, 0, 0])
    assert smoothed([0.0, 3.0, 6.0], 1) == pytest.approx([1.5, 3.0, 4.5])


@pytest.mark.parametrize(("count", "marked"), [(1, True), (9, True), (300, False)])
def test_sparse_curves_have_markers_and_dense_ones_a_faint_raw_curve_behind(count, marked):
    axes = Figure().subplots()
    epochs = [100 * (i + 1) / count for i in range(count)]
    draw_curve(axes, "loss", (epochs, [float(i % 2) for i in range(count)]), "black", span=100.0, width=1.6)
    assert [line.get_marker() == "o" for line in axes.lines] == ([True] if marked else [False, False])
    if not marked:
        raw, smooth = axes.lines
        assert raw.get_alpha() < 0.5
        assert smooth.get_alpha() is None
        assert np.ptp(smooth.get_ydata()) < 0.5 * np.ptp(raw.get_ydata())


def test_a_long_run_that_has_just_begun_has_no_markers_beside_another():
    axes = Figure().subplots()
    draw_curve(axes, "learning_rate", ([0.1, 0.2, 0.3], [1.0, 2.0, 3.0]), "black", span=100.0, width=1.6)
    assert [line.get_marker() for line in axes.lines] == ["None"]


def test_panels_fill_a_grid():
    assert [grid_shape(count) for count in (1, 2, 3, 4, 5, 9, 14, 16, 17)] == [
        (1, 1), (1, 2), (1, 3), (2, 2), (2, 3), (3, 3), (5, 3), (4, 4), (5, 4),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "error", "found"),
    [
        (None, RunNotFoundError, "holds no metrics.jsonl; expected the folder of a run"),
        ("", RunNotFoundError, "holds no figures yet"),
        ('{"step": 1, "epoch": 0.1, "hours_left": 2.0}\n', RunNotFoundError, "holds no figures yet"),
        ("{broken\n{}\n", RunNotFoundError, "holds no figures yet"),  # damaged lines are passed over
        ('{"epoch": 1, "loss": 2.0}\n', RunNotFoundError, "holds no figures yet"),
        ("[1]\n", RunNotFoundError, "holds no figures yet"),
    ],
)
def test_folders_without_figures_say_what_is_wrong(content, error, found, tmp_path):
    (tmp_path / "run").mkdir()
    if content is not None:
        (tmp_path / "run" / "metrics.jsonl").write_text(content)
    with pytest.raises(error, match=found):
        plot_runs([tmp_path / "run"], tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()


def test_wishes_that_cannot_be_met_list_what_can(tmp_path):
    folder = write(tmp_path / "run", steps(3, learning_rate=0.1))
    with pytest.raises(ConfigError, match=r"No run has logged kn, hours_left; expected some of: loss, learning_rate\."):
        plot_runs([folder], tmp_path / "curves.png", ["kn", "loss", "hours_left"])
    with pytest.raises(ConfigError, match="No metrics asked for"):
        plot_runs([folder], tmp_path / "curves.png", [])
    with pytest.raises(ConfigError, match=r"ends in \.png, \.pdf or \.svg"):
        plot_runs([folder], tmp_path / "curves.jpg")
    with pytest.raises(ConfigError, match="Got no run"):
        plot_runs([], tmp_path / "curves.png")


def test_needs_no_screen_and_leaves_pyplot_alone(tmp_path):
    folder = write(tmp_path / "run", steps(3))
    code = (
        "import sys; from sslhsic_transfer.pretrain import plot_runs; assert 'matplotlib' not in sys.modules; "
        f"plot_runs([{str(folder)!r}], {str(tmp_path / 'c.png')!r}); assert 'matplotlib.pyplot' not in sys.modules"
    )
    environment = {name: value for name, value in os.environ.items() if name != "DISPLAY"} | {"MPLBACKEND": "tkagg"}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120, env=environment)


def test_the_command_draws_and_says_where(sslhsic, tmp_path):
    folders = [write(tmp_path / name, steps(3, learning_rate=0.1)) for name in ("a", "b")]
    done = sslhsic("plot", *folders, "--metrics", "learning_rate, loss", "--output", "both.svg")
    assert done.stdout.strip() == "Written to both.svg"
    assert ElementTree.parse(tmp_path / "both.svg").getroot().tag.endswith("svg")
    done = sslhsic("plot", "nowhere", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "holds no metrics.jsonl" in done.stderr
