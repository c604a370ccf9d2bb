import json
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslhsic_transfer.errors import DataError
from sslhsic_transfer.images import ImageFolder
from sslhsic_transfer.pretrain.damage import DamageRecord
from sslhsic_transfer.pretrain.data import StepSampler, TwoViewDataset
from sslhsic_transfer.pretrain.loader import StepLoader
from sslhsic_transfer.pretrain.recipe import AugmentationSettings
from sslhsic_transfer.pretrain.sources import find_data


def batches(pictures=23, batch_size=5, start=0, total_steps=20, seed=0, **share):
    return list(StepSampler(pictures, batch_size, start=start, total_steps=total_steps, seed=seed, **share))


@settings(max_examples=40, deadline=None)
@given(pictures=st.integers(2, 40), batch_size=st.integers(1, 12), epochs=st.integers(1, 4))
def test_each_epoch_sees_every_picture_once(pictures, batch_size, epochs):
    steps = epochs * pictures // batch_size + 1
    stream = [index for batch in batches(pictures, batch_size, total_steps=steps) for index, _ in batch]
    for epoch in range(epochs):
        assert sorted(stream[epoch * pictures : (epoch + 1) * pictures]) == list(range(pictures))


def test_orders_and_seeds_differ_between_epochs_and_pictures():
    stream = [example for batch in batches(total_steps=9) for example in batch]
    assert [index for index, _ in stream[:23]] != [index for index, _ in stream[23:45]]
    assert len({seed for _, seed in stream}) == len(stream)
    assert batches(seed=1) != batches(seed=0)


@given(start=st.integers(0, 19))
def test_a_later_start_continues_the_same_stream(start):
    assert batches(start=start) == batches()[start:]


@given(processes=st.integers(1, 5))
def test_processes_share_each_batch(processes):
    shares = [batches(batch_size=10, rank=rank, processes=processes) for rank in range(processes)]
    for whole, *parts in zip(batches(batch_size=10), *shares, strict=True):
        assert sorted(whole) == sorted(example for part in parts for example in part)


@pytest.fixture
def loader(tmp_path):
    def make(pictures, recipe, **settings):
        damage = DamageRecord(tmp_path / "damaged.jsonl", len(pictures), recipe.max_damaged)
        return StepLoader(pictures, recipe, damage=damage, **settings)

    return make


def same(one, other) -> bool:
    return torch.equal(one.pixels, other.pixels) and all(map(torch.equal, one.colours, other.colours))


@pytest.mark.parametrize("workers", [1, 2])
def test_views_depend_on_neither_workers_nor_start(digits, tiny, workers, loader):
    folder = ImageFolder.scan(digits / "train")
    alone = list(loader(folder, tiny.model_copy(update={"workers": 0}), start=0, total_steps=6))
    torch.rand(3)
    others = list(loader(folder, tiny.model_copy(update={"workers": workers}), start=2, total_steps=6))
    for expected, found in zip(alone[2:], others, strict=True):
        assert all(map(same, expected[0], found[0]))


def test_micro_batches_cut_the_same_step(digits, tiny, loader):
    folder, part = ImageFolder.scan(digits / "train"), {"start": 1, "total_steps": 4, "rank": 1, "processes": 2}
    recipe = tiny.model_copy(update={"workers": 0})
    for whole, parts in zip(
        loader(folder, recipe, **part),
        loader(folder, recipe.model_copy(update={"micro_batch_size": 3}), **part),
        strict=True,
    ):
        assert [len(first.pixels) for first, _ in parts] == [3, 3, 2]
        for view in (0, 1):
            assert torch.equal(whole[0][view].pixels, torch.cat([views[view].pixels for views in parts]))


def test_making_views_leaves_the_global_random_state_alone(digits):
    dataset = TwoViewDataset(ImageFolder.scan(digits / "train"), AugmentationSettings(size=32))
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    dataset[(0, 1)]
    assert torch.equal(torch.rand(1), expected)


@pytest.fixture
def broken(digits, tmp_path):
    """Sixteen pictures, two of which cannot be read."""
    folder = tmp_path / "broken"
    shutil.copytree(digits / "train", folder)
    for path in sorted(folder.rglob("*.jpg"))[14:]:
        path.unlink()
    (folder / "x.jpg").write_bytes(b"no picture")
    whole = next(folder.rglob("*/*.jpg")).read_bytes()
    (folder / "y.jpg").write_bytes(whole[: len(whole) // 2])
    return ImageFolder.scan(folder)


@pytest.mark.parametrize("workers", [0, 2])
def test_damaged_pictures_are_replaced_named_and_counted(broken, tiny, loader, tmp_path, workers):
    recipe = tiny.model_copy(update={"workers": workers, "max_damaged": 0.2})
    with pytest.warns(UserWarning, match="cannot be read and is replaced"):
        steps = list(loader(broken, recipe, start=0, total_steps=4))
    assert all(len(first.pixels) == recipe.batch_size for ((first, _),) in steps)
    entries = [json.loads(line) for line in (tmp_path / "damaged.jsonl").read_text().splitlines()]
    assert sorted(Path(entry["picture"]).name for entry in entries) == ["x.jpg", "y.jpg"]
    assert any("truncated" in entry["reason"] for entry in entries)
    again = list(loader(broken, recipe, start=0, total_steps=4))  # counted already: no warning, the same views
    for one, other in zip(steps, again, strict=True):
        assert all(map(same, one[0], other[0]))


def test_a_record_cut_by_a_crash_is_read_without_its_last_line(tmp_path):
    path = tmp_path / "damaged.jsonl"
    path.write_text('{"picture": "a.jpg", "reason": "x"}\n{"pictu')
    assert DamageRecord(path, 9, 0.5).reasons == {"a.jpg": "x"}


def test_too_many_damaged_pictures_stop_the_run(broken, tiny, loader):
    with (
        pytest.warns(UserWarning, match="replaced"),
        pytest.raises(DataError, match=r"of 16 pictures cannot be read, more than max_damaged=0\.1 allows"),
    ):
        list(loader(broken, tiny.model_copy(update={"max_damaged": 0.1}), start=0, total_steps=4))


def test_nothing_but_damage_ends_at_once(tmp_path):
    for number in range(12):
        (tmp_path / f"{number}.png").write_bytes(b"?")
    dataset = TwoViewDataset(ImageFolder.scan(tmp_path), AugmentationSettings(size=32))
    with pytest.raises(DataError, match="10 pictures in a row cannot be read"):
        dataset[(3, 0)]


def test_finds_splits_classes_and_plain_folders(digits, tmp_path):
    found = find_data(digits)
    assert found.train.root == digits / "train"
    assert found.validation is None, "a test split is never touched"
    shutil.copytree(digits, tmp_path / "d")
    shutil.copytree(digits / "test", tmp_path / "d" / "val")
    found = find_data(tmp_path / "d")
    assert found.validation is not None
    assert found.validation.root.name == "val"
    assert len(find_data(digits / "test" / "0").train) == 8
    (tmp_path / "d" / "val" / "1").rename(tmp_path / "d" / "val" / "7")
    with pytest.raises(DataError, match="0, 1, 5; val/ 0, 5, 7"):
        find_data(tmp_path / "d")
