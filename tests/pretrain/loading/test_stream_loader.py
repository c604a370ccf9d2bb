import datasets
import pytest
import torch

from sslhsic_transfer.data.image_folder import ImageFolder
from sslhsic_transfer.data.sources import Stream
from sslhsic_transfer.errors import CheckpointError, DataError
from sslhsic_transfer.pretrain.loading.damage import DamageRecord
from sslhsic_transfer.pretrain.loading.loader import build_loader
from sslhsic_transfer.pretrain.loading.stream_loader import StreamLoader
from sslhsic_transfer.training.checkpoint import load_checkpoint, save_checkpoint

pytestmark = [
    pytest.mark.filterwarnings("ignore:The stream's . shards cannot be divided"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create . worker processes"),
]


def as_stream(contents, *, shards=4, buffer=10) -> Stream:
    """Make a stream of encoded pictures in several shards, from memory."""
    rows = {"image": [{"bytes": content, "path": f"{i:03d}.jpg"} for i, content in enumerate(contents)]}
    features = datasets.Features({"image": datasets.Image(decode=False)})
    whole = datasets.Dataset.from_dict(rows, features=features)
    return Stream(whole.to_iterable_dataset(num_shards=shards), "image", len(contents), buffer)


@pytest.fixture(scope="module")
def contents(digits):
    return [path.read_bytes() for path in ImageFolder.scan(digits / "train").paths[::2]]


@pytest.fixture
def make(tiny, tmp_path):
    def make(stream, *, start=0, total_steps=9, rank=0, processes=1, **settings) -> StreamLoader:
        recipe = tiny.model_copy(update={"batch_size": 8, "max_damaged": 0.3} | settings)
        damage = DamageRecord(tmp_path / "damaged.jsonl", len(stream), recipe.max_damaged)
        loader = build_loader(
            stream, recipe, start=start, total_steps=total_steps, damage=damage, rank=rank, processes=processes
        )
        assert isinstance(loader, StreamLoader)
        return loader

    return make


def flat(step) -> torch.Tensor:
    """Return all of a step's pixels and colors."""
    return torch.cat(
        [
            part.flatten(1).float() if part.ndim > 1 else part.float()[:, None]
            for views in step
            for view in views
            for part in (view.pixels, *view.colors)
        ],
        dim=1,
    )


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
@pytest.mark.parametrize("stop", [1, 5, 9])
def test_goes_on_as_if_it_had_never_stopped(workers, stop, contents, make, tmp_path):
    """36 pictures and batches of 8: the ninth step ends the second epoch. The state takes the way of a checkpoint."""
    stream = as_stream(contents)
    whole = list(make(stream, workers=workers, total_steps=12))
    first = make(stream, workers=workers, total_steps=12)
    steps = iter(first)
    for _ in range(stop):
        next(steps)
    state = first.state_dict()
    del steps
    saved = save_checkpoint(tmp_path / "checkpoints", stop, {"data": state}, keep=1)
    later = make(stream, start=stop, workers=workers, total_steps=12)
    later.load_state_dict(load_checkpoint(saved)[1]["data"])
    for expected, found in zip(whole[stop:], later, strict=True):
        assert torch.equal(flat(expected), flat(found))


def test_views_grow_and_go_on_within_and_between_stages(contents, make):
    """36 pictures, batches of 8: an epoch ends within the fifth step, a half one within the third."""
    stream, grow = as_stream(contents), {"progressive": ((0.5, 40), (1.0, 48))}
    grown = {"augmentation": make(stream)._recipe.augmentation.model_copy(update=grow), "workers": 2}
    whole, plain = list(make(stream, **grown)), list(make(stream, workers=2))
    assert [step[0][0].pixels.shape[-1] for step in whole] == [40, 40, 40, 48, 48, 32, 32, 32, 32]
    for found, expected in zip(whole[5:], plain[5:], strict=True):
        assert torch.equal(flat(found), flat(expected)), "the readers' places survive a change of size"
    for stop in (1, 3, 4, 6):
        first = make(stream, **grown)
        steps = iter(first)
        for _ in range(stop):
            next(steps)
        later = make(stream, start=stop, **grown)
        later.load_state_dict(first.state_dict())
        for expected, found in zip(whole[stop:], later, strict=True):
            assert torch.equal(flat(expected), flat(found))


def test_micro_batches_cut_the_same_step_and_go_on(contents, make):
    stream = as_stream(contents)
    whole = list(make(stream, workers=0))
    first = make(stream, workers=0, micro_batch_size=3)
    steps = iter(first)
    parts = [next(steps) for _ in range(2)]
    assert [len(views[0].pixels) for views in parts[0]] == [3, 3, 2]
    later = make(stream, start=2, workers=0, micro_batch_size=3)
    later.load_state_dict(first.state_dict())
    for expected, found in zip(whole, [*parts, *later], strict=True):
        assert torch.equal(expected[0][0].pixels, torch.cat([views[0].pixels for views in found]))


@pytest.mark.parametrize("workers", [0, 2])
def test_two_processes_divide_each_epoch(workers, contents, make):
    """Whole pictures as views, so that they can be told apart: 36, each four times in 18 steps of 8."""
    stream = as_stream(contents)
    recipe = make(stream)._recipe.augmentation
    still = recipe.model_copy(update={"crop_area": (1.0, 1.0), "crop_ratio": (1.0, 1.0), "flip": 0.0})
    counts: dict[bytes, int] = {}
    for rank in range(2):
        loader = make(stream, total_steps=18, rank=rank, processes=2, workers=workers, augmentation=still)
        for step in loader:
            for picture in step[0][0].pixels:
                key = picture.numpy().tobytes()
                counts[key] = counts.get(key, 0) + 1
    assert len(counts) == len(set(contents))
    assert set(counts.values()) == {4}


def test_views_and_order_differ_between_epochs_and_seeds(contents, make):
    stream = as_stream(contents[:8])
    first, second = make(stream, workers=0, total_steps=2)
    assert not torch.equal(flat(first), flat(second))
    (other,) = make(stream, workers=0, total_steps=1, seed=1)
    assert not torch.equal(flat(first), flat(other))
    (again,) = make(stream, workers=0, total_steps=1)
    assert torch.equal(flat(first), flat(again))


@pytest.mark.parametrize("workers", [0, 2])
def test_damaged_pictures_are_left_out_named_once_and_resumed_over(workers, contents, make, tmp_path):
    broken = [*contents[:6], b"no picture", contents[6][:300], b"", *contents[7:20]]
    stream = as_stream(broken)
    with pytest.warns(UserWarning, match="cannot be read"):
        whole = list(make(stream, workers=workers))
    lines = (tmp_path / "damaged.jsonl").read_text().splitlines()
    assert len(lines) == 3, "once, though every epoch meets them"
    assert all(name in "".join(lines) for name in ("006.jpg", "007.jpg", "008.jpg"))
    assert all(len(step[0][0].pixels) == 8 for step in whole)
    first = make(stream, workers=workers)
    steps = iter(first)
    for _ in range(4):
        next(steps)
    later = make(stream, start=4, workers=workers)
    later.load_state_dict(first.state_dict())
    del steps
    for expected, found in zip(whole[4:], later, strict=True):
        assert torch.equal(flat(expected), flat(found))


def test_nothing_but_damage_ends_the_run(make):
    with pytest.raises(DataError, match="100 pictures in a row cannot be read"):
        list(make(as_stream([b"?"] * 12), workers=0))


def test_readers_without_pictures_end_the_run(contents, make):
    with pytest.raises(DataError, match=r"finds no pictures in the stream.*Lower workers"):
        list(make(as_stream(contents[:2], shards=1), workers=3))


def test_other_numbers_of_readers_cannot_go_on(contents, make):
    stream = as_stream(contents)
    first = make(stream, workers=2)
    next(iter(first))
    for other in ({"workers": 1}, {"workers": 2, "processes": 2}, {"workers": 2, "processes": 2, "rank": 1}):
        with pytest.raises(CheckpointError, match="The run had 1 processes with 2 readers each, now"):
            make(stream, start=1, **other).load_state_dict(first.state_dict())


def test_a_checkpoint_without_a_place_is_refused(contents, make):
    loader = make(as_stream(contents), start=3, workers=0)
    loader.load_state_dict({})
    with pytest.raises(CheckpointError, match="does not say how much of the stream was read"):
        next(iter(loader))
    assert list(make(as_stream(contents), start=9, total_steps=9, workers=0)) == [], "nothing left to read"


@pytest.mark.filterwarnings("error")
def test_shards_that_do_not_divide_are_named_by_one_process(contents, make):
    with pytest.warns(UserWarning, match="The stream's 4 shards cannot be divided evenly among 3 readers"):
        make(as_stream(contents), workers=3)
    make(as_stream(contents), workers=3, processes=2, rank=1)
    make(as_stream(contents), workers=2, processes=2)
