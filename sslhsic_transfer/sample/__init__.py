"""Real pictures that ship with the package, for the demo, the examples and the tests.

Sign Language Digits (Arda Mavi and Zeynep Dikle, Apache-2.0; see ``sign_digits/NOTICE``): ten hand signs, 72 × 72 RGB.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Sample:
    """A data set on disk in the ImageFolder layout.

    Attributes:
        root: the folder that holds ``train/`` and ``test/``.
        train: training pictures, one folder for each class.
        test: test pictures, which must not be used for training, in the same layout.
        classes: names of the classes, in order.
    """

    root: Path
    train: Path
    test: Path
    classes: tuple[str, ...]


def sign_digits() -> Sample:
    """Return the bundled hand signs of the digits 0-9: 1,242 training and 409 test pictures, 72 × 72 RGB JPEG.

    Returns:
        The folders of the bundled data set; nothing is copied or downloaded.
    """
    root = Path(__file__).parent / "sign_digits"
    classes = tuple(sorted(folder.name for folder in (root / "train").iterdir() if folder.is_dir()))
    return Sample(root, root / "train", root / "test", classes)
