"""Classification data, with one folder for each split and class, and subsets with few labels."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from sslhsic_transfer._seeds import mix_seed
from sslhsic_transfer.data.image_folder import ImageFolder
from sslhsic_transfer.data.images import load_image
from sslhsic_transfer.data.labelled.layouts import recognize
from sslhsic_transfer.data.labelled.lists import first_columns
from sslhsic_transfer.errors import DataError
from sslhsic_transfer.text_files import read_lines

EXPECTED_LAYOUTS = "  folders     SPLIT/CLASS/ with the pictures of a class (as ImageNet has it)"


@dataclass(frozen=True)
class ClassificationData:
    """One split of a data set.

    Attributes:
        name: name of the data set.
        split: name of the split.
        folder: its pictures and their classes.
    """

    name: str
    split: str
    folder: ImageFolder

    def __len__(self) -> int:
        return len(self.folder)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their numbers."""
        return self.folder.classes

    def read_picture(self, index: int) -> Image.Image:
        """Read one picture, RGB.

        Raises:
            ImageError: the picture cannot be read.
        """
        return load_image(self.folder.paths[index])

    def share(self, share: float, seed: int) -> "ClassificationData":
        """Draw a share of each class's pictures, at least one of each, by a seed."""
        if share == 1:
            return self
        labels = np.asarray(self.folder.labels)
        random = np.random.default_rng(mix_seed(seed))
        chosen = [
            random.choice(members, max(1, round(share * len(members))), replace=False)
            for members in (np.flatnonzero(labels == number) for number in range(len(self.classes)))
        ]
        return self._some(np.sort(np.concatenate(chosen)))

    def listed(self, source: str | Path) -> "ClassificationData":
        """Select the pictures that a text file lists, one per line: paths below the split's folder, or file names.

        Slashes and another machine's folders before a path, and columns after it, are ignored.

        Raises:
            DataError: there is no such file, or it lists pictures that do not exist.
        """
        source = Path(source)
        if not source.is_file():
            raise DataError(f"{source} is not there; expected a file with the name of a picture on each line.")
        root, paths = self.folder.root, self.folder.paths
        named = Counter(path.name for path in paths)
        index = {path.name: number for number, path in enumerate(paths) if named[path.name] == 1}
        index |= {path.relative_to(root).as_posix(): number for number, path in enumerate(paths)}
        names = [text for _, text in read_lines(source)]
        found = _numbers(names, index)
        if missing := [name for name, number in zip(names, found, strict=True) if number is None]:
            raise DataError(
                f"{len(missing)} of the {len(names)} pictures that {source} names are not in {root}, such as "
                f"{missing[0]} ({named[missing[0]]} files have this name; where several have, give its folder, too)."
            )
        if not names:
            raise DataError(f"{source} is empty; expected the name of a picture on each line.")
        return self._some(sorted({number for number in found if number is not None}))

    def _some(self, indices: Iterable[int]) -> "ClassificationData":
        return ClassificationData(self.name, self.split, self.folder.subset(int(index) for index in indices))


def _numbers(lines: Sequence[str], index: Mapping[str, int]) -> list[int | None]:
    """Find the numbers of the listed pictures; if none is found, remove the same first folders from all lines."""
    columns = [list(first_columns(line)) for line in lines]
    paths = [[PurePosixPath(name.replace("\\", "/")).parts for name in names] for names in columns]
    found = [
        next((index[name] for name in (*names, *map("/".join, parts)) if name in index), None)
        for names, parts in zip(columns, paths, strict=True)
    ]
    if any(number is not None for number in found):
        return found
    ways = ((parts[:end], "/".join(parts[end:])) for some in paths for parts in some for end in range(1, len(parts)))
    cut = next((way for way, rest in ways if "/" in rest and rest in index), None)
    if cut is None:
        return found
    rests = [["/".join(parts[len(cut) :]) for parts in some if parts[: len(cut)] == cut] for some in paths]
    return [next((index[name] for name in names if name in index), None) for names in rests]


def find_classification(root: str | Path, split: str, layout: str = "auto") -> ClassificationData:
    """Find a split of a classification data set.

    Args:
        root: folder of the data set.
        split: name of the split's folder, such as ``"train"`` or ``"val"``.
        layout: "folders" or "auto".

    Raises:
        DataError: there is no such split, or it has no classes.
    """
    return recognize(root, split, layout, {"folders": _folders}, EXPECTED_LAYOUTS)


def _folders(root: Path, split: str) -> ClassificationData | None:
    if not (root / split).is_dir():
        return None
    return ClassificationData(root.resolve().name, split, ImageFolder.scan(root / split, labelled=True))
