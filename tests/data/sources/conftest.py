"""The same real pictures in every form that a user may have them in; nothing is fetched."""

import io
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
import webdataset
from PIL import Image

from sslhsic_transfer.data.image_folder import ImageFolder
from sslhsic_transfer.pretrain.sections import AugmentationSettings
from sslhsic_transfer.pretrain.views import two_views
from tests.pretrain.conftest import own_precision as own_precision
from tests.pretrain.conftest import tiny as tiny
from tests.pretrain.conftest import tiny_overrides as tiny_overrides

SETTINGS = AugmentationSettings(size=32)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Let `datasets` write to a folder of the tests, and keep it from the Hub."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
        patch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
        patch.setattr(datasets.config, "SLEEP_TIME_ON_THREADS_SHUTDOWN", 0)  # seconds after a pass over Parquet files
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        datasets.disable_progress_bars()
        yield
        datasets.enable_progress_bars()


@pytest.fixture(scope="session")
def folder(digits) -> ImageFolder:
    return ImageFolder.scan(digits / "train")


@pytest.fixture(scope="session")
def odd(digits, tmp_path_factory) -> ImageFolder:
    """Write pictures of every awkward kind in two classes; those whose names begin with x cannot be read."""
    root = tmp_path_factory.mktemp("odd")
    whole = Image.open(next((digits / "train").rglob("*.jpg"))).convert("RGB").resize((60, 40))
    for name in ("a", "b"):
        (root / name).mkdir()
    whole.convert("CMYK").save(root / "a/cmyk.jpg")
    Image.fromarray(np.asarray(whole.convert("L"), np.uint16) * 257).save(root / "a/gray16.png")
    whole.convert("P", palette=Image.Palette.ADAPTIVE).save(root / "a/palette.png", transparency=bytes(range(200)))
    exif = Image.Exif()
    exif[274] = 6
    whole.save(root / "b/turned.jpg", exif=exif)
    whole.resize((1, 1)).save(root / "b/one.png")
    content = (root / "b/turned.jpg").read_bytes()
    (root / "b/xcut.jpg").write_bytes(content[: len(content) // 2])
    (root / "b/xnone.jpg").write_bytes(b"no picture")
    return ImageFolder.scan(root)


@pytest.fixture(scope="session")
def write_shards():
    """Write WebDataset shards by its own writer: pictures in the folder's order, labels in .cls files."""

    def write(pictures: ImageFolder, target: Path, *, each: int = 30, labels: bool = True) -> list[Path]:
        target.mkdir(parents=True, exist_ok=True)
        with webdataset.ShardWriter(str(target / "part-%03d.tar"), maxcount=each, verbose=0) as writer:
            for index, path in enumerate(pictures.paths):
                sample = {"__key__": f"{index:04d}-{path.stem}", path.suffix[1:]: path.read_bytes()}
                writer.write(sample | ({"cls": pictures.labels[index]} if labels else {}))
        return sorted(target.glob("*.tar"))

    return write


@pytest.fixture(scope="session")
def table():
    """A `datasets.Dataset` of encoded pictures and their classes, in the folder's order."""

    def make(pictures: ImageFolder) -> datasets.Dataset:
        rows = {
            "image": [{"bytes": path.read_bytes(), "path": path.name} for path in pictures.paths],
            "label": list(pictures.labels),
        }
        label = datasets.ClassLabel(names=list(pictures.classes))
        return datasets.Dataset.from_dict(
            rows, features=datasets.Features({"image": datasets.Image(), "label": label}), split="train"
        )

    return make


@pytest.fixture(scope="session")
def parquet(folder, table, tmp_path_factory) -> Path:
    """Write a folder with four Parquet files of 18 pictures."""
    root = tmp_path_factory.mktemp("parquet")
    whole = table(folder)
    for number in range(4):
        part = whole.shard(4, number)
        part.to_parquet(root / f"{number}.parquet")
    return root


def views(pictures, index: int, seed: int = 3) -> torch.Tensor:
    with pictures.open(index) as image:
        return torch.stack([view.pixels for view in two_views(image, seed, SETTINGS)])


@pytest.fixture(scope="session")
def same_pictures():
    """Give a check that two sources hold the same pictures in the same order: equal views for equal seeds."""

    def same(one, other) -> bool:
        pairs = range(len(one)) if len(one) == len(other) else [len(one) + len(other)]
        return all(torch.equal(views(one, index), views(other, index)) for index in pairs)

    return same


def encode(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()
