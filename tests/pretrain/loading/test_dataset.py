import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslhsic_transfer.data.image_folder import ImageFolder
from sslhsic_transfer.errors import ConfigError, DataError
from sslhsic_transfer.pretrain.loading.damage import DamageRecord
from sslhsic_transfer.pretrain.loading.dataset import TwoViewDataset
from sslhsic_transfer.pretrain.sections import AugmentationSettings
from sslhsic_transfer.training.sampler import StepSampler, check_shares


def batches(pictures=23, batch_size=5, start=0, total_steps=20, seed=0, **share):
    return list(StepSampler(pictures, batch_size, start=start, total_steps=total_steps, seed=seed, **share))


@settings(max_examples=40, deadline=None)
@given(pictures=st.integers(2, 40), batch_size=st.integers(1, 12), epochs=st.integers(1, 4))
def test_each_epoch_sees_every_picture_once(pictures, batch_size, epochs):
    steps = epochs * pictures // batch_size + 1
    stream = [index for batch in batches(pictures, batch_size, total_steps=steps) for index, _ in batch]
    for epoch in range(epochs):
        assert sorted(stream[epoch * pictures : (epoch + 1) * pictures]) == list(range(pictures))


@pytest.mark.parametrize(
    ("batch_size", "processes", "micro", "found"),
    [
        (4, 8, None, r"gets 0 or 1 micro-batches, the smallest of 0 .*multiple of 16"),
        (256, 7, 4, r"gets 9 or 10 micro-batches.*multiple of 28"),
        (33, 1, 8, r"the smallest of 1 pictures.*multiple of 8"),
        (12, 8, None, r"the smallest of 1 pictures"),
    ],
)
def test_shares_that_make_processes_wait_are_refused(batch_size, processes, micro, found):
    with pytest.raises(ConfigError, match=found):
        check_shares(batch_size, processes, micro)


@pytest.mark.parametrize(
    ("batch_size", "processes", "micro"), [(4096, 8, 128), (50, 3, None), (14, 1, 4), (2, 1, None)]
)
def test_other_shares_may_be_uneven(batch_size, processes, micro):
    check_shares(batch_size, processes, micro)


def test_processes_share_the_count_of_damage_and_a_torn_line_costs_nothing(tmp_path):
    path = tmp_path / "damaged.jsonl"
    ranks = [DamageRecord(path, pictures=100, most=0.02) for _ in range(2)]
    with pytest.warns(UserWarning, match="cannot be read and is replaced"):
        ranks[0].note([("a.jpg", "cut")])
    ranks[1].note([("a.jpg", "cut"), ("caf\udce9.jpg", "cut")])
    assert len(path.read_text().splitlines()) == 2
    with path.open("a") as file:
        file.write('{"picture": "b.jp')  # the machine stopped here
    resumed = DamageRecord(path, pictures=100, most=0.02)
    assert set(resumed.reasons) == {"a.jpg", "caf\udce9.jpg"}
    with pytest.raises(DataError, match=r"3 of 100 pictures cannot be read"):
        resumed.note([("c.jpg", "cut")])
    assert set(DamageRecord(path, pictures=100, most=0.02).reasons) == {"a.jpg", "caf\udce9.jpg", "c.jpg"}


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


def test_damaged_lines_of_a_record_are_passed_over(tmp_path):
    path = tmp_path / "damaged.jsonl"
    path.write_text(
        '{"picture": "a", "reason": "r"}\n[1]\n{"pictxre": "b", "reason": "r"}\n{"picture": [], "reason": 1}\n'
    )
    assert DamageRecord(path, 9, 0.5).reasons == {"a": "r"}


def test_nothing_but_damage_ends_at_once(tmp_path):
    for number in range(12):
        (tmp_path / f"{number}.png").write_bytes(b"?")
    dataset = TwoViewDataset(ImageFolder.scan(tmp_path), AugmentationSettings(size=32))
    with pytest.raises(DataError, match="10 pictures in a row cannot be read"):
        dataset[(3, 0)]
