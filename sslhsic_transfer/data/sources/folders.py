"""Data folders, which hold pictures or tar shards."""

from pathlib import Path

from sslhsic_transfer.data.image_folder import ImageFolder, pictures_below
from sslhsic_transfer.data.images import Pictures
from sslhsic_transfer.data.sources.pretraining_data import PretrainingData
from sslhsic_transfer.data.sources.shards import COMPRESSED, ShardedPictures, refuse_compressed
from sslhsic_transfer.data.sources.streams import Stream
from sslhsic_transfer.errors import ConfigError, DataError


def find_in_folder(directory: Path) -> PretrainingData:
    """Find the data in a folder with ``train/`` and ``val/``, class folders, plain pictures or tar shards.

    A ``test/`` folder beside ``train/`` is never read.

    Raises:
        DataError: there are no pictures.
    """
    name = directory.resolve().name
    if not (directory / "train").is_dir():
        return PretrainingData(name, open_folder(directory))
    train = open_folder(directory / "train")
    if not train.classes or not (directory / "val").is_dir():
        return PretrainingData(name, train)
    validation = open_folder(directory / "val", labelled=True)
    if validation.classes and validation.classes != train.classes:
        raise DataError(
            f"{directory}: train/ has the classes {', '.join(train.classes)}; val/ {', '.join(validation.classes)}. "
            "Expected the same."
        )
    return PretrainingData(name, train, validation)


def refuse_output_among(pictures: Pictures | Stream, output: Path) -> None:
    """Refuse an output folder among the pictures: a resumed run would find its own there, such as curves.png.

    Raises:
        ConfigError: the output lies in a folder whose pictures are trained on.
    """
    if isinstance(pictures, ImageFolder) and output.resolve().is_relative_to(pictures.root.resolve()):
        raise ConfigError(
            f"The output {output} lies in {pictures.root}, whose pictures are trained on, and gets some of its own: "
            "choose an output beside it."
        )


def open_folder(directory: Path, *, labelled: bool = False) -> ImageFolder | ShardedPictures:
    """Open a folder of pictures or, only if there are none, of tar shards; a stray archive thus changes nothing.

    Raises:
        DataError: there are neither, or classes are required and there are none.
    """
    archives = sorted(path for path in directory.iterdir() if path.name.endswith((".tar", *COMPRESSED)))
    if not archives or any(pictures_below(directory)):
        return ImageFolder.scan(directory, labelled=labelled)
    refuse_compressed(archives)
    return ShardedPictures.index(archives)
