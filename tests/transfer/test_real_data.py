"""The commands on real pictures, with the weights that ship, for few steps; longer runs: docs/dense.md."""

import numpy as np
import pytest

from sslhsic_transfer.results import load_results
from sslhsic_transfer.transfer import load_transferred

pytestmark = pytest.mark.slow

SHORT = ("batch_size=4", "warmup=3", "workers=0", "learning_rate=1e-3")


@pytest.fixture
def transferred(sslhsic_here, data_root, tmp_path):
    """Run the command on a data set -> figures by metric, how many pictures they are of, the model loaded again."""

    def run(task, name, *arguments):
        if not (data_root / name).is_dir():
            pytest.skip(f"no {name} in {data_root}: set SSLHSIC_DATA")
        output = tmp_path / "run"
        sslhsic_here(
            "transfer", task, "sslhsic-r18", "--data", str(data_root / name), "--output", str(output), *arguments
        )
        results = load_results(output / "results.json")
        assert (output / "predictions.png").is_file()
        assert {result.model for result in results} == {"sslhsic-r18"}
        (count,) = {result.n for result in results}
        return {result.metric: result.value for result in results}, count, load_transferred(output / "model")

    return run


@pytest.mark.parametrize("framework", ["torchvision", "mmseg"])
def test_segmentation_of_camvid(transferred, data_root, framework):
    sizes = ("resize=96", "crop=[96,128]", "scale=[0.8,1.25]")
    figures, count, model = transferred(
        "segmentation", "camvid", "--framework", framework, "iterations=20", *SHORT, *sizes
    )
    assert count == 101
    assert figures["mIoU"] > 0.08, "the commonest class everywhere: 0.03"
    found = model.predict(next((data_root / "camvid" / "val").iterdir()))
    assert found.shape == (360, 480)
    assert len(np.unique(found)) > 1


def test_depth_of_a_room(transferred, data_root):
    figures, count, model = transferred(
        "depth", "redkitchen_depth", "test=test", "iterations=40", *SHORT, "resize=96", "crop=[96,128]"
    )
    assert count == 45
    assert figures["abs_rel"] < 0.36, "the median of the training pictures everywhere: 0.41"
    found = model.predict(next((data_root / "redkitchen_depth" / "rgb").iterdir()))
    assert found.shape == (210, 280)
    assert 0.3 < np.median(found) < 6, "meters"
