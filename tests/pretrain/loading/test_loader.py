import json
from pathlib import Path

import pytest
import torch

from sslhsic_transfer.data.image_folder import ImageFolder
from sslhsic_transfer.errors import DataError
from sslhsic_transfer.pretrain.loading.damage import DamageRecord
from sslhsic_transfer.pretrain.loading.loader import build_loader
from sslhsic_transfer.pretrain.loading.step_loader import StepLoader
from tests.pretrain.loading.conftest import same


@pytest.mark.parametrize("workers", [1, 2])
def test_views_depend_on_neither_workers_nor_start(digits, tiny, workers, loader):
    folder = ImageFolder.scan(digits / "train")
    alone = list(loader(folder, tiny.model_copy(update={"workers": 0}), start=0, total_steps=6))
    torch.rand(3)
    others = list(loader(folder, tiny.model_copy(update={"workers": workers}), start=2, total_steps=6))
    for expected, found in zip(alone[2:], others, strict=True):
        assert all(map(same, expected[0], found[0]))


def test_views_grow_and_stay_what_they_are_otherwise(digits, tiny, loader):
    """Each step's pictures, crops and colors are those of a run at its size alone."""
    folder = ImageFolder.scan(digits / "train")
    epoch = -(-len(folder) // tiny.batch_size)  # steps that begin in the first epoch
    views = tiny.augmentation
    grown = tiny.model_copy(
        update={"augmentation": views.model_copy(update={"progressive": ((1.0, 48),)}), "workers": 0}
    )
    start = epoch - 2
    sizes = []
    for number, step in enumerate(loader(folder, grown, start=start, total_steps=start + 5), start):
        size = step[0][0].pixels.shape[-1]
        alone = tiny.model_copy(update={"augmentation": views.model_copy(update={"size": size}), "workers": 0})
        (expected,) = loader(folder, alone, start=number, total_steps=number + 1)
        assert all(map(same, step[0], expected[0]))
        sizes.append(size)
    assert sizes == [48, 48, 32, 32, 32]


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


def test_too_many_damaged_pictures_stop_the_run(broken, tiny, loader):
    with (
        pytest.warns(UserWarning, match="replaced"),
        pytest.raises(DataError, match=r"of 16 pictures cannot be read, more than max_damaged=0\.1 allows"),
    ):
        list(loader(broken, tiny.model_copy(update={"max_damaged": 0.1}), start=0, total_steps=4))


def test_folders_need_nothing_but_the_step_to_go_on(digits, tiny, tmp_path):
    folder, damage = ImageFolder.scan(digits / "train"), DamageRecord(tmp_path / "damaged.jsonl", 72, 0.0)
    made = build_loader(folder, tiny, start=0, total_steps=6, damage=damage)
    assert isinstance(made, StepLoader)
    assert made.state_dict() == {}
    made.load_state_dict({})
