import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def demo(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import demo

    return demo


@pytest.mark.parametrize(("floor", "status"), [(0.4, 0), (0.5, 1), (0.6, 1)])
def test_verdict_asks_for_more_than_every_floor_in_every_task(demo, floor, status, capsys):
    values = {("pixels", "knn"): 0.1, ("pixels", "linear"): floor, ("run", "knn"): 0.5, ("run", "linear"): 0.5}
    assert demo.verdict(values, "run") == status
    assert ("does not beat pixels in linear" in capsys.readouterr().err) == bool(status)


def test_figure_is_drawn_from_what_a_run_leaves(demo, model_folder, tmp_path):
    from demo_figure import draw_figure

    from sslhsic_transfer.embed import embed_folder
    from sslhsic_transfer.sample import sign_digits

    test = sign_digits().test
    embed_folder(model_folder, test, tmp_path / "test.parquet", progress=False)
    lines = [{"step": 5, "epoch": 1.0, "loss": 0.1, "hsic_zy": 0.2, "hsic_zz": -1e-5}]
    lines += [{"step": 5, "epoch": 1.0, "knn": 0.4}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    output = draw_figure(tmp_path / "metrics.jsonl", tmp_path / "test.parquet", test, tmp_path / "demo.png")
    with Image.open(output) as image:
        assert min(image.size) > 600
        assert len(image.convert("RGB").getcolors(1 << 24)) > 1000, "an empty canvas"


@pytest.mark.slow
def test_the_whole_demo_beats_its_floors(tmp_path):
    command = [sys.executable, str(EXAMPLES / "demo.py"), str(tmp_path / "demo")]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=1800, env=os.environ | {"COLUMNS": "100"}, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"raw pixels .*\d+\.\d.*\d+\.\d", done.stdout)
    assert (tmp_path / "demo" / "demo.png").exists()
    records = json.loads((tmp_path / "demo" / "model" / "results.json").read_text())["results"]
    measured = [record for record in records if not record["protocol"].startswith("online evaluation")]
    assert len(measured) == 6
    assert len(records) == 6 + 3, "the run's own online figures stay beside them"
