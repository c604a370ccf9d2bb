"""Comparison of the sizes of pictures and maps before training, from headers only, in several threads."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from sslhsic_transfer.data.images import open_image, upright_size
from sslhsic_transfer.data.labelled.layouts import map_header
from sslhsic_transfer.errors import DataError, ImageError

Item = TypeVar("Item")
Result = TypeVar("Result")

# A header takes 0.05 ms if the files are in memory, so COCO's 118,000 pictures take seconds. Threads help to wait for
# disks and networks; more of them would wait for one another.
_READERS = 8
_CHUNK = 64  # items per task of a thread
_NAMED = 3  # problems listed in a message


@dataclass(frozen=True)
class Sizes:
    """Width and height of a picture.

    Attributes:
        upright: size of the picture as it is used, turned by its EXIF orientation.
        stored: size of the picture in the file.
    """

    upright: tuple[int, int]
    stored: tuple[int, int]


def side_by_side(function: Callable[[Item], Result], items: Sequence[Item], title: str) -> list[Result]:
    """Apply a function to every item in several threads; a progress bar appears after some seconds."""

    def work(start: int) -> list[Result]:
        return [function(item) for item in items[start : start + _CHUNK]]

    results: list[Result] = []
    with (
        ThreadPoolExecutor(_READERS) as pool,
        tqdm(total=len(items), desc=title, unit="file", delay=3, leave=False, disable=None) as bar,
    ):
        for part in pool.map(work, range(0, len(items), _CHUNK)):
            results += part
            bar.update(len(part))
    return results


def picture_sizes(paths: Sequence[Path], source: Path) -> list[Sizes]:
    """Read the sizes of picture files from their headers.

    Args:
        paths: the files.
        source: the file or folder that lists them.

    Raises:
        DataError: some are not pictures; the message names the first ones.
    """
    found = side_by_side(_sizes_or_error, paths, "sizes of pictures")
    unreadable = [str(error) for error in found if isinstance(error, ImageError)]
    refuse(unreadable, f"{len(unreadable)} of {len(paths)} pictures of {source} cannot be read")
    return [sizes for sizes in found if isinstance(sizes, Sizes)]


def _sizes_or_error(path: Path) -> Sizes | ImageError:
    try:
        with open_image(path) as image:
            return Sizes(upright_size(image), image.size)
    except ImageError as error:
        return error


def map_size(path: Path) -> tuple[int, int]:
    """Read width and height of a map in a picture file; maps are never turned.

    Raises:
        DataError: the file is not a picture.
    """
    return map_header(path)[1]


def require_same_sizes(
    pairs: Sequence[tuple[Path, Path]],
    kind: str,
    source: Path,
    size_of: Callable[[Path], tuple[int, int]] = map_size,
) -> None:
    """Check that maps have the size of their upright pictures.

    Args:
        pairs: picture and map of each example.
        kind: name of a map in messages, such as "mask".
        source: the file or folder that lists them.
        size_of: function that reads width and height of a map's file.

    Raises:
        DataError: some differ; the message counts them and names the first ones.
    """
    sizes = picture_sizes([picture for picture, _ in pairs], source)

    def check(number: int) -> str | None:
        (picture, labels), size = pairs[number], sizes[number]
        try:
            own = size_of(labels)
        except DataError as error:
            return str(error)
        if own == size.upright:
            return None
        turned = f"; the picture's EXIF orientation turns it: turn the {kind}, too" if own == size.stored else ""
        said = f"{picture} has {format_size(size.upright)} pixels and its {kind} {labels} {format_size(own)}"
        return f"{said}; expected the same{turned}"

    problems = [problem for problem in side_by_side(check, range(len(pairs)), f"sizes of {kind}s") if problem]
    refuse(problems, f"{len(problems)} of {len(pairs)} {kind}s of {source} cannot be used")


def format_size(size: tuple[int, int]) -> str:
    """Format a size, such as ``640 × 480``."""
    return f"{size[0]} × {size[1]}"


def refuse(problems: Sequence[str], said: str, remedy: str = "") -> None:
    """Raise an error that lists the first problems, if there are any.

    Args:
        problems: one text for each example that cannot be used.
        said: summary of all problems.
        remedy: advice for all problems.

    Raises:
        DataError: there are problems.
    """
    if not problems:
        return
    listed = "\n".join(f"  {problem}" for problem in problems[:_NAMED])
    more = f"\n  … and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
    raise DataError(f"{said}:\n{listed}{more}" + (f"\n{remedy}" if remedy else ""))
