import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslhsic_transfer.errors import DataError
from sslhsic_transfer.image_folder import ImageFolder
from sslhsic_transfer.pretrain.loading.damage import DamageRecord
from sslhsic_transfer.pretrain.loading.dataset import StepSampler, TwoViewDataset
from sslhsic_transfer.pretrain.recipe import AugmentationSettings


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


def test_making_views_leaves_the_global_random_state_alone(digits):
    dataset = TwoViewDataset(ImageFolder.scan(digits / "train"), AugmentationSettings(size=32))
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    dataset[(0, 1)]
    assert torch.equal(torch.rand(1), expected)


def test_a_record_cut_by_a_crash_is_read_without_its_last_line(tmp_path):
    path = tmp_path / "damaged.jsonl"
    path.write_text('{"picture": "a.jpg", "reason": "x"}\n{"pictu')
    assert DamageRecord(path, 9, 0.5).reasons == {"a.jpg": "x"}


def test_nothing_but_damage_ends_at_once(tmp_path):
    for number in range(12):
        (tmp_path / f"{number}.png").write_bytes(b"?")
    dataset = TwoViewDataset(ImageFolder.scan(tmp_path), AugmentationSettings(size=32))
    with pytest.raises(DataError, match="10 pictures in a row cannot be read"):
        dataset[(3, 0)]
