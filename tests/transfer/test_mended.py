"""A run that stops at an unreadable picture goes on once that is mended, and ends as one that never stopped."""

import pytest
import torch

from sslhsic_transfer.data.labelled.segmentation import find_segmentation
from sslhsic_transfer.errors import CheckpointError, ImageError
from sslhsic_transfer.training.sampler import StepSampler
from sslhsic_transfer.transfer import load_transferred, transfer
from tests.dense_data import segmentation_lists

SETTINGS = ("workers=0", "warmup=0", "iterations=4", "batch_size=2", "crop=[48,64]", "learning_rate=1e-3")


def read_third(framework: str, count: int) -> int:
    """Index of a picture of the third batch."""
    if framework == "mmseg":
        return int(torch.randperm(count, generator=torch.Generator().manual_seed(0))[4])
    batches = list(StepSampler(count, 2, start=0, total_steps=4, seed=0, rank=0, processes=1))
    return batches[2][0][0]


@pytest.mark.parametrize("framework", ["torchvision", "mmseg"])
def test_a_mended_picture(model_folder, tmp_path, framework):
    data = segmentation_lists(tmp_path / "scenes")

    def run(name, *, resume=False):
        options = {"framework": framework, "overrides": SETTINGS, "resume": resume, "progress": False}
        transfer("segmentation", model_folder, data, tmp_path / name, **options)
        return load_transferred(tmp_path / name / "model").network.state_dict()

    expected = run("whole")
    pairs = find_segmentation(data, "train").pairs
    damaged = pairs[read_third(framework, len(pairs))][0]
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-40])
    with pytest.raises(ImageError, match=r"The steps before are saved in .*run.* go on with --resume"):
        run("run")
    damaged.write_bytes(content)
    found = run("run", resume=True)
    assert [name for name, value in expected.items() if not torch.equal(value, found[name])] == []

    damaged.rename(damaged.with_name("other.png"))
    listed = data / "train.txt"
    listed.write_text(listed.read_text().replace(f"train/{damaged.name}", "train/other.png"))
    with pytest.raises(CheckpointError, match="other pictures than are there now"):
        run("run", resume=True)
