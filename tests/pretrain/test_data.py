import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslhsic_transfer.errors import DataError, ImageError
from sslhsic_transfer.images import ImageFolder
from sslhsic_transfer.pretrain.data import StepLoader, StepSampler, TwoViewDataset, find_data
from sslhsic_transfer.pretrain.recipe import AugmentationSettings
from sslhsic_transfer.pretrain.views import TwoViews


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


@pytest.mark.parametrize("workers", [1, 2])
def test_views_depend_on_neither_workers_nor_start(digits, tiny, workers):
    folder = ImageFolder.scan(digits / "train")
    recipe = tiny.model_copy(update={"workers": 0})
    alone = list(StepLoader(folder, recipe, start=0, total_steps=6))
    torch.rand(3)
    others = list(StepLoader(folder, recipe.model_copy(update={"workers": workers}), start=2, total_steps=6))
    for expected, found in zip(alone[2:], others, strict=True):
        for view, again in zip(expected[0], found[0], strict=True):
            assert torch.equal(view, again)


def test_micro_batches_cut_the_same_step(digits, tiny):
    folder = ImageFolder.scan(digits / "train")
    recipe = tiny.model_copy(update={"workers": 0})
    for whole, parts in zip(
        StepLoader(folder, recipe, start=1, total_steps=4, rank=1, processes=2),
        StepLoader(
            folder, recipe.model_copy(update={"micro_batch_size": 3}), start=1, total_steps=4, rank=1, processes=2
        ),
        strict=True,
    ):
        assert [len(part[0]) for part in parts] == [3, 3, 2]
        for view in (0, 1):
            assert torch.equal(whole[0][view], torch.cat([part[view] for part in parts]))


def test_making_views_leaves_the_global_random_state_alone(digits):
    dataset = TwoViewDataset(ImageFolder.scan(digits / "train"), TwoViews(AugmentationSettings(size=32)))
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    dataset[(0, 1)]
    assert torch.equal(torch.rand(1), expected)


def test_a_damaged_picture_is_named_through_the_worker(digits, tiny, tmp_path):
    shutil.copytree(digits / "train" / "0", tmp_path / "pictures")
    (tmp_path / "pictures" / "zz.jpg").write_bytes(b"?")
    loader = StepLoader(ImageFolder.scan(tmp_path / "pictures"), tiny, start=0, total_steps=2)
    with pytest.raises(ImageError, match=r"zz\.jpg"):
        list(loader)


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
