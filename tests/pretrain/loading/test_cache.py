import numpy as np
import pytest
import torch
from PIL import Image

from sslhsic_transfer.data.image_folder import ImageFolder
from sslhsic_transfer.data.images import load_image
from sslhsic_transfer.errors import ConfigError, ImageError
from sslhsic_transfer.pretrain.loading import cache as module
from sslhsic_transfer.pretrain.loading.cache import build_cache, stored_size
from sslhsic_transfer.pretrain.sections import AugmentationSettings, DataSettings
from sslhsic_transfer.pretrain.views.draws import draw_views

CPU = torch.device("cpu")
VIEWS = AugmentationSettings(size=32)


def build(folder, settings, views=VIEWS, **options):
    return build_cache(ImageFolder.scan(folder), settings, views, device=CPU, workers=0, **options)


@pytest.mark.parametrize("workers", [0, 2])
def test_pictures_come_back_as_they_are(digits, monkeypatch, workers):
    monkeypatch.setattr(module, "_PART", 7)
    folder = ImageFolder.scan(digits / "train")
    kept = build_cache(folder, DataSettings(cache="ram"), VIEWS, device=CPU, workers=workers)
    assert len(kept) == len(folder)
    whole = kept.joined(CPU)
    for index in (0, 6, 7, 40, len(folder) - 1):
        expected = np.asarray(load_image(folder.paths[index]))
        assert np.array_equal(np.asarray(kept.open(index)), expected)
        assert kept.original_size(index) == kept.stored_size(index) == expected.shape[1::-1]
        rows = whole[kept.starts[index] : kept.starts[index + 1]].numpy()
        assert np.array_equal(rows.reshape(expected.shape), expected)
    assert kept.starts[-1] * 3 == whole.nbytes


def test_turned_and_large_pictures_are_kept_upright_and_small(tmp_path):
    y, x = np.mgrid[:600, :900]
    picture = Image.fromarray(np.stack([x // 4, y // 4, (x + y) // 8], axis=2).astype(np.uint8))
    exif = picture.getexif()
    exif[274] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif.tobytes(), quality=95)
    kept = build(tmp_path, DataSettings(cache="ram", side=100))
    assert (kept.original_size(0), kept.stored_size(0)) == ((600, 900), (100, 150))
    expected = load_image(tmp_path / "turned.jpg").resize((100, 150), Image.Resampling.BICUBIC)
    difference = np.abs(np.asarray(kept.open(0), dtype=float) - np.asarray(expected, dtype=float))
    assert difference.mean() < 1


@pytest.mark.parametrize(("width", "height"), [(4000, 3000), (600, 900), (50, 40), (1, 5000)])
@pytest.mark.parametrize("area", [0.08, 0.5])
def test_no_crop_loses_detail_to_the_size_that_is_kept(width, height, area):
    views = AugmentationSettings(size=48, progressive=((3, 64),), crop_area=(area, 1.0))
    kept = stored_size(width, height, DataSettings(cache="ram"), views)
    assert kept[0] <= width
    assert kept[1] <= height
    share = min(kept[0] / width, kept[1] / height)
    for seed in range(200):
        for (left, upper, right, lower), _, _ in draw_views(seed, views, width, height):
            smallest = min(right - left, lower - upper)
            assert smallest * share >= min(1.9 * 64, smallest) - 1


def test_what_cannot_be_read_is_known_and_told_again(broken):
    kept = build_cache(broken, DataSettings(cache="ram"), VIEWS, device=CPU, workers=0)
    assert len(kept.damage) == 2
    for index in kept.damage:
        with pytest.raises(ImageError, match="Cannot read"):
            kept.open(index)
        assert not len(kept.pixels(index))


def test_want_of_memory_is_told_while_decoding(digits, monkeypatch):
    monkeypatch.setattr(module, "_PART", 16)
    monkeypatch.setattr(module, "free_memory", lambda device: 100_000)
    with pytest.raises(ConfigError, match=r"take about 0\.0 GiB; this machine has .*Set data\.cache=none.*data\.side"):
        build(digits / "train", DataSettings(cache="ram"))


def test_a_side_without_a_cache_is_refused():
    with pytest.raises(ValueError, match="side is 64 without a cache"):
        DataSettings(side=64)
