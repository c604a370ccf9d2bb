"""Whole runs on each kind of source, by the engine as it is."""

import json
import shutil

import pytest

from sslhsic_transfer import from_pretrained
from sslhsic_transfer.errors import CheckpointError
from sslhsic_transfer.pretrain import pretrain
from sslhsic_transfer.training.checkpoint import list_checkpoints
from sslhsic_transfer.training.run_folder import RunFolder


@pytest.fixture(scope="module")
def short(tiny):
    """Shorten a run to five steps."""
    return tiny.model_copy(update={"epochs": 1, "workers": 0, "trackers": []})


@pytest.fixture(scope="module")
def by_folder(short, digits, tmp_path_factory):
    output = tmp_path_factory.mktemp("run") / "run"
    pretrain(short, digits, output, progress=False)
    return output


@pytest.mark.parametrize("kind", ["shards", "hf", "torchvision"])
def test_every_source_of_the_same_pictures_gives_the_same_model(
    kind, by_folder, short, folder, write_shards, parquet, tmp_path
):
    """To the last bit, and with the same online k-NN."""
    if kind == "shards":
        write_shards(folder, tmp_path / "shards")
        data = str(tmp_path / "shards" / "part-{000..002}.tar")
    elif kind == "hf":
        data = f"hf://parquet?data_files={parquet}/*.parquet"
    else:
        data = f"torchvision://ImageFolder?root={folder.root}"
    pretrain(short, data, tmp_path / "run", progress=False)
    weights = "model/model.safetensors"
    assert (tmp_path / "run" / weights).read_bytes() == (by_folder / weights).read_bytes()
    knn = [[r["knn"] for r in RunFolder(run).read_metrics() if "knn" in r] for run in (by_folder, tmp_path / "run")]
    assert knn[0] == knn[1] != []


@pytest.mark.filterwarnings("ignore:.*cannot be read and is replaced")
def test_damaged_pictures_of_shards_are_named(short, odd, write_shards, tmp_path):
    shards = write_shards(odd, tmp_path / "shards")
    recipe = short.model_copy(update={"epochs": 2, "batch_size": 4, "max_damaged": 0.5})
    pretrain(recipe, shards[0], tmp_path / "run", progress=False)
    lines = (tmp_path / "run" / "damaged.jsonl").read_text().splitlines()
    names = {json.loads(line)["picture"].rpartition("-")[2] for line in lines}
    assert names == {"xcut.jpg", "xnone.jpg"}


def test_a_stream_trains_and_a_validation_split_watches_it(tiny, parquet, tmp_path):
    data = f"hf://parquet?data_files={parquet}/*.parquet&streaming=true&length=72&validation=train[:50%]"
    recipe = tiny.model_copy(update={"trackers": []})
    encoder = from_pretrained(pretrain(recipe, data, tmp_path / "run", progress=False))
    assert encoder.metadata["pictures"] == 72
    records = RunFolder(tmp_path / "run").read_metrics()
    assert [record["step"] for record in records if "loss" in record] == list(range(1, 10))
    assert [record["step"] for record in records if "knn" in record] == [5, 9]


def test_a_stream_resumes_to_the_last_bit(tiny, parquet, tmp_path):
    """Where the readers were is in the checkpoint, here within the second epoch."""
    data = f"hf://parquet?data_files={parquet}/*.parquet&streaming=true&length=72"
    recipe = tiny.model_copy(update={"trackers": [], "checkpoints_kept": 9})
    pretrain(recipe, data, tmp_path / "whole", progress=False)
    shutil.copytree(tmp_path / "whole", tmp_path / "stopped")
    shutil.rmtree(tmp_path / "stopped" / "model")
    _, *later = list_checkpoints(tmp_path / "stopped" / "checkpoints")
    assert later
    for checkpoint in later:
        shutil.rmtree(checkpoint)
    other = recipe.model_copy(update={"workers": 2})
    with pytest.raises(CheckpointError, match="1 readers each, now 1 with 2"):
        pretrain(other, data, tmp_path / "stopped", resume=True, progress=False)
    pretrain(recipe, data, tmp_path / "stopped", resume=True, progress=False)
    weights = "model/model.safetensors"
    assert (tmp_path / "stopped" / weights).read_bytes() == (tmp_path / "whole" / weights).read_bytes()
