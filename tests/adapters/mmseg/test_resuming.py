"""A run that stops and goes on gives the weights of one that never stopped."""

import shutil

import numpy as np
import pytest
import torch
from mmengine.config import Config

from sslhsic_transfer import create_encoder
from sslhsic_transfer.adapters.mmseg import CONFIGS, SSLHSICRunner, fine_tune
from sslhsic_transfer.adapters.mmseg.compat import read_checkpoint
from sslhsic_transfer.adapters.mmseg.resuming import NumberedSampler, SeededExamples, checkpoints
from sslhsic_transfer.data.labelled.segmentation import find_segmentation
from sslhsic_transfer.errors import CheckpointError, ImageError
from tests.adapters.mmseg.test_configs import lay_out

OPTIONS = {
    **{
        "crop": (64, 64),
        "batch_size": 2,
        "iterations": 4,
        "checkpoint_every": 3,
        "color_jitter": 0.4,
        "network": "deeplabv3plus",
    },
    **{"optimizer": "sgd", "learning_rate": 0.01, "warmup": 1},
}


def weights(path):
    return read_checkpoint(str(path))["state_dict"]


def read_at(place, data):
    """Return the picture that is read at a place of the order."""
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0)).tolist()
    return data.pairs[order[place]][0]


def require_same(first, second):
    assert first.keys() == second.keys()
    assert [name for name, value in first.items() if not torch.equal(value, second[name])] == []


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Folder, data and the weights of a whole run; its network drops out features at random."""
    root = tmp_path_factory.mktemp("undisturbed")
    lay_out("camvid", root)
    for name in "bcdefgh":
        for folder in ("train", "trainannot"):
            shutil.copy(root / folder / "a.png", root / folder / f"{name}.png")
    (root / "train.txt").write_text("".join(f"train/{n}.png trainannot/{n}.png\n" for n in "abcdefgh"))
    data = find_segmentation(root, "train")
    encoder = create_encoder("resnet18")
    output = fine_tune(data, None, root / "run", model=encoder, workers=0, **OPTIONS)
    return root, data, encoder, weights(output / "model.pth")


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_picture_loses_nothing(undisturbed, tmp_path, workers):
    _, data, encoder, expected = undisturbed
    damaged = read_at(4, data)
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-60])
    options = {**OPTIONS, "model": encoder, "workers": workers}
    try:
        with pytest.raises(ImageError, match=r"The steps before are saved in .*iter_2\.pth: .*--resume") as caught:
            fine_tune(data, None, tmp_path / "run", **options)
        assert str(damaged) in str(caught.value)
        with pytest.raises(ImageError, match=r"saved in .*iter_2\.pth"):  # still unreadable, and nothing new to save
            fine_tune(data, None, tmp_path / "run", resume=True, **options)
    finally:
        damaged.write_bytes(whole)
    saved = read_checkpoint(str(tmp_path / "run/iter_2.pth"))
    assert saved["meta"]["iter"] == 2
    moved = (tmp_path / "run").rename(tmp_path / "moved")
    fine_tune(data, None, moved, resume=True, **options)
    assert [path.name for path in checkpoints(moved)] == ["iter_4.pth"]
    require_same(weights(moved / "model.pth"), expected)


def test_a_regular_checkpoint_goes_on_as_if_nothing_had_been(undisturbed, tmp_path):
    from tests.adapters.mmseg.test_runner import stop_after

    _, data, encoder, expected = undisturbed
    options = {**OPTIONS, "model": encoder, "workers": 0}
    stopped = stop_after(3, data, None, tmp_path / "run", options)
    assert not (stopped / "model.pth").exists()
    require_same(weights(fine_tune(data, None, stopped, resume=True, **options) / "model.pth"), expected)


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(undisturbed, tmp_path, monkeypatch):
    _, data, encoder, _ = undisturbed
    write = torch.save

    def full_disk(content, target, *arguments, **options):
        if isinstance(content, dict) and content.get("meta", {}).get("iter") == 4:
            raise OSError(28, "No space left on device")
        write(content, target, *arguments, **options)

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space left"):
        fine_tune(data, None, tmp_path / "run", model=encoder, workers=0, **OPTIONS)
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["iter_3.pth"]
    assert not list((tmp_path / "run").glob(".*.tmp"))


@pytest.mark.parametrize("content", [3, {}, {"meta": 1}, {"meta": {}, "state_dict": {}, "optimizer": {}}])
def test_another_file_of_tensors_is_no_checkpoint(undisturbed, tmp_path, content):
    from tests.adapters.mmseg.test_runner import stop_after

    _, data, encoder, _ = undisturbed
    options = {**OPTIONS, "model": encoder, "workers": 0}
    stopped = stop_after(0, data, None, tmp_path / "run", options)
    torch.save(content, stopped / "iter_3.pth")
    with pytest.raises(CheckpointError, match=r"iter_3\.pth is no checkpoint of a run"):
        fine_tune(data, None, stopped, resume=True, **options)


def test_a_config_saves_what_was_reached_too(undisturbed, tmp_path):
    root, data, encoder, _ = undisturbed
    encoder.save_pretrained(tmp_path / "model")
    config = Config.fromfile(CONFIGS / "deeplabv3plus_camvid.py")
    config.merge_from_dict(
        {
            "model.backbone.model": str(tmp_path / "model"),
            "model.data_preprocessor.size": (64, 64),
            "data_root": str(root),
            "train_cfg.max_iters": 2,
            "train_dataloader.batch_size": 2,
            "train_dataloader.num_workers": 0,
            "train_dataloader.persistent_workers": False,
            "train_dataloader.dataset.pipeline.3.crop_size": (64, 64),
            "log_level": "ERROR",
        }
    )
    unmeasured = [f"{split}_{part}" for split in ("val", "test") for part in ("dataloader", "cfg", "evaluator")]
    config.update(dict.fromkeys(unmeasured))

    def runner(name, **options):
        config.update(work_dir=str(tmp_path / name.partition(",")[0]), experiment_name=name, **options)
        config.visualizer.name = name  # names are global
        return SSLHSICRunner.from_cfg(config)

    expected = runner("whole").train().state_dict()
    damaged = read_at(2, data)
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-60])
    try:
        with pytest.raises(ImageError, match=r"saved in .*iter_1\.pth"):
            runner("disturbed").train()
    finally:
        damaged.write_bytes(whole)
    require_same(runner("disturbed, resumed", resume=True).train().state_dict(), expected)


def test_augmentation_depends_on_the_place_only():
    class Drawing:
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return index, np.random.random(), float(torch.rand(()))

    numbers = NumberedSampler([2, 0, 1, 1])
    examples = [SeededExamples(Drawing(), 5)[numbered] for numbered in numbers]
    assert [index for index, *_ in examples] == [2, 0, 1, 1]
    assert len({draws[1] for draws in examples} | {draws[2] for draws in examples}) == 8
    numbers.skip(2)
    np.random.seed(1)
    state = torch.get_rng_state()
    assert [SeededExamples(Drawing(), 5)[numbered] for numbered in numbers] == examples[2:]
    assert torch.equal(state, torch.get_rng_state())
    assert np.random.random() == np.random.RandomState(1).random()
    assert SeededExamples(Drawing(), 6)[next(iter(numbers))] != examples[2]
