"""Loaders on decoded pictures beside the one that decodes each time. `DeviceLoader` runs on the CPU here."""

import json
from pathlib import Path

import pytest
import torch

from sslhsic_transfer.data.image_folder import ImageFolder
from sslhsic_transfer.data.sources.streams import Stream
from sslhsic_transfer.errors import ConfigError, DataError
from sslhsic_transfer.pretrain.loading.cache import build_cache
from sslhsic_transfer.pretrain.loading.cached_loader import CachedLoader, DeviceLoader
from sslhsic_transfer.pretrain.loading.damage import DamageRecord
from sslhsic_transfer.pretrain.loading.step_loader import StepLoader
from tests.pretrain.loading.conftest import same

CPU = torch.device("cpu")


def cached(recipe, cache="device", **changes):
    data = recipe.data.model_copy(update={"cache": cache})
    return recipe.model_copy(update={"data": data, "workers": 0} | changes)


@pytest.fixture
def on_device(tmp_path):
    """Make loaders that do on the CPU what they would do on a GPU."""

    def make(pictures, recipe, **settings):
        damage = DamageRecord(tmp_path / "damaged.jsonl", len(pictures), recipe.max_damaged)
        cache = build_cache(pictures, recipe.data, recipe.augmentation, device=CPU, workers=recipe.workers)
        return DeviceLoader(pictures, recipe, cache, device=CPU, damage=damage, **settings)

    return make


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cache", ["ram", "device"])
def test_on_a_cpu_the_views_are_those_of_the_files_to_the_last_bit(digits, tiny, loader, cache, workers):
    folder = ImageFolder.scan(digits / "train")
    plain = list(loader(folder, tiny, start=2, total_steps=6))
    made = loader(folder, cached(tiny, cache, workers=workers), start=2, total_steps=6)
    assert isinstance(made, CachedLoader)
    for expected, found in zip(plain, made, strict=True):
        assert all(map(same, expected[0], found[0]))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cache", ["ram", "device"])
def test_on_a_device_the_views_are_those_of_the_files_within_a_step_of_255(
    digits, tiny, loader, on_device, cache, workers
):
    folder, part = ImageFolder.scan(digits / "train"), {"start": 1, "total_steps": 5, "rank": 1, "processes": 2}
    plain = list(loader(folder, tiny, **part))
    made = list(on_device(folder, cached(tiny, cache, workers=workers, micro_batch_size=4), **part))
    for (expected,), found in zip(plain, made, strict=True):
        assert len(found) == 2, "micro-batches"
        for view in (0, 1):
            pixels = torch.cat([views[view].pixels for views in found])
            assert (pixels.float() - expected[view].pixels.float()).abs().mean() <= 1
            for one, other in zip(
                expected[view].colors, zip(*(views[view].colors for views in found), strict=True), strict=True
            ):
                assert torch.equal(one, torch.cat(other))


def test_a_later_start_goes_on_with_the_same_steps(digits, tiny, on_device):
    folder, recipe = ImageFolder.scan(digits / "train"), cached(tiny)
    whole = list(on_device(folder, recipe, start=0, total_steps=6))
    for expected, found in zip(whole[3:], on_device(folder, recipe, start=3, total_steps=6), strict=True):
        assert all(map(same, expected[0], found[0]))


def test_views_grow_on_the_device_as_they_do_without(digits, tiny, loader, on_device):
    folder = ImageFolder.scan(digits / "train")
    grown = tiny.augmentation.model_copy(update={"progressive": ((1.0, 48),)})
    recipe = tiny.model_copy(update={"augmentation": grown, "workers": 0})
    plain = [step[0][0].pixels for step in loader(folder, recipe, start=3, total_steps=7)]
    found = [step[0][0].pixels for step in on_device(folder, cached(recipe), start=3, total_steps=7)]
    assert [view.shape[-1] for view in found] == [48, 48, 32, 32]
    assert all((one.float() - other.float()).abs().mean() <= 1 for one, other in zip(plain, found, strict=True))


@pytest.mark.parametrize("where", ["cpu", "device"])
def test_the_same_pictures_take_the_place_of_damaged_ones(broken, tiny, loader, on_device, tmp_path, where):
    recipe = tiny.model_copy(update={"max_damaged": 0.2})
    with pytest.warns(UserWarning, match="cannot be read and is replaced"):
        made = (loader if where == "cpu" else on_device)(broken, cached(recipe), start=0, total_steps=4)
    entries = [json.loads(line) for line in (tmp_path / "damaged.jsonl").read_text().splitlines()]
    assert sorted(Path(entry["picture"]).name for entry in entries) == ["x.jpg", "y.jpg"], "told before the first step"
    for expected, found in zip(loader(broken, recipe, start=0, total_steps=4), made, strict=True):
        for one, other in zip(expected[0], found[0], strict=True):
            assert (one.pixels.float() - other.pixels.float()).abs().mean() <= 1


def test_too_many_damaged_pictures_stop_the_run_before_its_first_step(broken, tiny, loader):
    with pytest.warns(UserWarning, match="replaced"), pytest.raises(DataError, match=r"of 16 pictures cannot be read"):
        loader(broken, cached(tiny, max_damaged=0.1), start=0, total_steps=4)


def test_without_a_cache_nothing_is_kept(digits, tiny, loader):
    assert type(loader(ImageFolder.scan(digits / "train"), tiny, start=0, total_steps=1)) is StepLoader


def test_a_stream_is_not_kept(tiny, loader):
    with pytest.raises(ConfigError, match=r"data\.cache=ram for a stream.*expected none"):
        loader(Stream(dataset=None, image="image", length=32), cached(tiny, "ram"), start=0, total_steps=1)
