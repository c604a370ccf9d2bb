import shutil

import pytest
import torch

from sslhsic_transfer.data.image_folder import ImageFolder
from sslhsic_transfer.pretrain.loading.damage import DamageRecord
from sslhsic_transfer.pretrain.loading.loader import build_loader


@pytest.fixture
def loader(tmp_path):
    def make(pictures, recipe, **settings):
        damage = DamageRecord(tmp_path / "damaged.jsonl", len(pictures), recipe.max_damaged)
        return build_loader(pictures, recipe, damage=damage, **settings)

    return make


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


def same(one, other) -> bool:
    return torch.equal(one.pixels, other.pixels) and all(map(torch.equal, one.colors, other.colors))
