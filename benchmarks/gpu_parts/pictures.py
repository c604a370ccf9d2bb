"""A folder of JPEGs of a size, made from pictures of any other."""

import json
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image, ImageOps

from sslhsic_transfer._files import write_json
from sslhsic_transfer.data.image_folder import ImageFolder
from sslhsic_transfer.data.images import load_image

_TILE = 125  # pixels: a smaller picture would lose its detail by enlargement
_CLASSES = 10
_QUALITY = 90
_DONE = "made.json"


def make_pictures(source: Path, folder: Path, count: int, size: tuple[int, int], processes: int) -> dict[str, Any]:
    """Fill a folder with JPEGs in ten sub-folders, unless it was filled from the same source before.

    Each is a picture of the source, or a mosaic of such where they are small: cropped and flipped at random and
    resized, so that size, detail and thereby the time of decoding are about a photograph's.

    Args:
        source: a folder of pictures.
        folder: where to put those that are made.
        count: how many.
        size: width and height.
        processes: that make them.

    Returns:
        What is there, and the seconds that it took.
    """
    mark, start = folder / _DONE, time.perf_counter()
    facts: dict[str, Any] = {"source": str(source), "pictures": count, "size": list(size)}
    found: dict[str, Any] = json.loads(mark.read_text(encoding="utf-8")) if mark.exists() else {}
    if found.items() >= facts.items():
        return found
    if found:
        shutil.rmtree(folder)
    base = ImageFolder.scan(source).paths
    for label in range(_CLASSES):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(processes, mp_context=get_context("fork")) as pool:
        written = sum(pool.map(partial(_make, base, folder, size), range(count), chunksize=16))
    facts |= {"mean KB": written / count / 1000, "seconds": time.perf_counter() - start}
    write_json(mark, facts)
    return facts


def _make(base: tuple[Path, ...], folder: Path, size: tuple[int, int], number: int) -> int:
    """Write one picture; return its bytes."""
    random, (width, height) = Random(number), size
    first = load_image(base[random.randrange(len(base))])
    tile = max(_TILE, first.width)
    across, down = max(1, round(width / tile)), max(1, round(height / tile))
    picture = Image.new("RGB", size)
    for row in range(down):
        for column in range(across):
            left, upper = width * column // across, height * row // down
            right, lower = width * (column + 1) // across, height * (row + 1) // down
            source = load_image(base[random.randrange(len(base))])
            picture.paste(_varied(source, (right - left, lower - upper), random), (left, upper))
    path = folder / str(number % _CLASSES) / f"{number:06d}.jpg"
    picture.save(path, quality=_QUALITY)
    return path.stat().st_size


def _varied(picture: Image.Image, size: tuple[int, int], random: Random) -> Image.Image:
    share = random.uniform(0.8, 1.0)
    width, height = picture.width * share, picture.height * share
    left, upper = random.uniform(0, picture.width - width), random.uniform(0, picture.height - height)
    varied = picture.resize(size, Image.Resampling.BICUBIC, box=(left, upper, left + width, upper + height))
    return ImageOps.mirror(varied) if random.random() < 0.5 else varied
