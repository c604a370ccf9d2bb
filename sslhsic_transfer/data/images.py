"""Pictures: whatever a user has, turned into RGB."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, Union

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from sslhsic_transfer.data.picture_formats import open_picture
from sslhsic_transfer.data.storage import require_sound_machine
from sslhsic_transfer.data.strips import as_grey, rgb_array
from sslhsic_transfer.errors import ImageError, InputError, SSLHSICError

if TYPE_CHECKING:
    import torch

# A picture, in any of the forms that the library takes.
Picture = Union[Image.Image, np.ndarray[Any, Any], "torch.Tensor", str, Path]

Converted = TypeVar("Converted")

# EXIF orientation -> what turns the picture upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)


class Pictures(Protocol):
    """A numbered collection of pictures, wherever they come from; worker processes get a copy of it.

    Attributes:
        classes: names of the classes; empty: no labels.
        labels: index into ``classes`` of each picture; empty without classes.
    """

    @property
    def classes(self) -> tuple[str, ...]:
        """Names."""

    @property
    def labels(self) -> Sequence[int]:
        """Of every picture."""

    def __len__(self) -> int: ...

    def open(self, index: int) -> Image.Image:
        """One picture, best not yet decoded, to be used in a ``with`` statement.

        Raises:
            ImageError: it cannot be read.
        """

    def name(self, index: int) -> str:
        """What the user finds the picture by."""


def open_image(path: str | Path) -> Image.Image:
    """Open a picture file without decoding it yet; close it, or use it in a ``with`` statement.

    Raises:
        ImageError: there is no such file, or it is not a picture.
    """
    with picture_errors(path):
        return open_picture(path, path)


def open_bytes(content: bytes, name: str) -> Image.Image:
    """Open the content of a picture file without decoding it yet.

    Args:
        content: what the file holds.
        name: what the error calls it.

    Raises:
        ImageError: it is not a picture.
    """
    with picture_errors(name):
        return open_picture(BytesIO(content), name)


def load_image(path: str | Path) -> Image.Image:
    """Read a picture file as RGB, upright as its EXIF orientation says.

    Raises:
        ImageError: there is no such file, or it is not a picture, or it is damaged.
    """
    with open_image(path) as image:
        return to_rgb(image)


def to_rgb(image: Image.Image) -> Image.Image:
    """Turn a PIL image of any mode into upright RGB; 16-bit grey is scaled to 8 bits, transparency is dropped.

    Floating values count up to 255, or to 1 where none is larger.

    Raises:
        ImageError: it is damaged, or its values go beyond these or 16 bits.
    """
    with picture_errors(image):
        image = _turned_upright(image)
        if image.mode.startswith("I;16") or image.mode == "I":
            image = as_grey(image, 65535, lambda values, _: values >> 8, "0 to 65535")
        if image.mode == "F":
            image = as_grey(
                image, 255, lambda values, most: (values * (255 if most <= 1 else 1)).round(), "0 to 1 or 0 to 255"
            )
        if image.mode == "P":
            image.info.pop("transparency", None)  # Pillow would warn that it is dropped
        return image if image.mode == "RGB" else image.convert("RGB")


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height after the turn that the EXIF orientation asks for, mostly without decoding the image.

    A broken EXIF block asks for none.
    """
    tags: Any = getattr(image, "tag_v2", None)
    if tags is not None:  # of a TIFF; whether Pillow has swapped its size before decoding depends on the release
        width, height = tags.get(ExifTags.Base.ImageWidth), tags.get(ExifTags.Base.ImageLength)
        sideways = tags.get(ExifTags.Base.Orientation) in _SIDEWAYS
        return (height, width) if sideways and width and height else image.size
    return (image.height, image.width) if _orientation(image) in _SIDEWAYS else image.size


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or it cannot be read, as viewers have it."""
    for _ in range(2):  # after an error Pillow gives what it could read
        try:
            value = image.getexif().get(ExifTags.Base.Orientation, 1)
        except Exception:  # of many kinds, as in `picture_errors`
            continue
        return int(value) if value in _TURNS else 1
    return 1


def _turned_upright(image: Image.Image) -> Image.Image:
    """The decoded image, turned as its orientation says; it tells none any more. Pixels are shared where they stay."""
    image.load()
    turn = _TURNS.get(_orientation(image))
    upright = image._new(image.im) if turn is None else image.transpose(turn)
    for key in ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"):
        upright.info.pop(key, None)
    return upright


@contextmanager
def picture_errors(source: str | Path | Image.Image) -> Iterator[None]:
    """Turn what Pillow raises, of many kinds, SyntaxError and struct.error among them, into an ImageError.

    Raises:
        ImageError: the picture cannot be read.
        StorageError, DeviceMemoryError: the machine is the reason; the next picture would fail, too.
    """
    if isinstance(source, Image.Image):
        source = getattr(source, "filename", "") or "the image"
    try:
        yield
    except SSLHSICError:
        raise
    except Exception as error:
        require_sound_machine(error, source)
        if isinstance(error, FileNotFoundError):
            raise ImageError(f"There is no picture at {source}.") from error
        raise ImageError(f"Cannot read {source} as a picture: {error}") from error


def to_uint8_array(picture: Picture) -> NDArray[np.uint8]:
    """Turn any form of picture but a tensor into an (H, W, 3) uint8 array, RGB; torch is not needed.

    Args:
        picture: a path; a PIL image; a uint8 array (H, W), (H, W, 1) or (H, W, 3), RGB.

    Raises:
        ImageError: something else, another shape or dtype, or an unreadable file.
    """
    if isinstance(picture, str | Path):
        picture = load_image(picture)
    if isinstance(picture, Image.Image):
        return rgb_array(to_rgb(picture))
    if not isinstance(picture, np.ndarray):
        raise ImageError(
            f"Got a picture of type {type(picture).__name__}; expected a path, PIL image, array or tensor."
        )
    array = picture[:, :, None] if picture.ndim == 2 else picture
    if array.ndim != 3 or array.shape[2] not in (1, 3) or 0 in array.shape or array.dtype != np.uint8:
        raise ImageError(
            f"Got a picture array of shape {picture.shape} and dtype {array.dtype}; expected uint8 of shape (H, W, 3), "
            "RGB, or (H, W). For channels first, pass a torch tensor."
        )
    return np.broadcast_to(array, (*array.shape[:2], 3))


def to_uint8_tensor(picture: Picture) -> "torch.Tensor":
    """Turn any form of picture into a (3, H, W) uint8 tensor, in memory as it came: of a file, channels last.

    Args:
        picture: a path; a PIL image; a uint8 array (H, W), (H, W, 1) or (H, W, 3), RGB; a tensor (1 or 3, H, W), uint8
            or floating on [0, 1].

    Raises:
        ImageError: another shape, dtype or range, or an unreadable file.
    """
    import torch

    if not isinstance(picture, torch.Tensor):
        array = to_uint8_array(picture)
        return torch.from_numpy(np.array(array, order="C")).permute(2, 0, 1)
    tensor = picture.detach()
    if tensor.ndim != 3 or tensor.shape[0] not in (1, 3) or 0 in tensor.shape:
        raise ImageError(f"Got a picture tensor of shape {tuple(tensor.shape)}; expected (3, H, W) or (1, H, W).")
    if tensor.is_floating_point():
        low, high = tensor.min().item(), tensor.max().item()
        if not (low >= 0 and high <= 1):
            raise ImageError(
                f"Got a floating picture tensor with values from {low:.4g} to {high:.4g}; expected [0, 1], or uint8. "
                "If it is normalised already, call the encoder itself: encoder(batch)."
            )
        tensor = (tensor.float() * 255).round().to(torch.uint8)
    elif tensor.dtype != torch.uint8:
        raise ImageError(f"Got a picture tensor of {tensor.dtype}; expected uint8, or floating on [0, 1].")
    return tensor.expand(3, -1, -1)


def as_pictures(images: Picture | Sequence[Picture]) -> Sequence[Picture]:
    """A sequence of pictures from one picture, a batch array or tensor, or any iterable of pictures."""
    if isinstance(images, str | Path | Image.Image):
        return [images]
    if isinstance(images, Sequence):
        return images
    dims = getattr(images, "ndim", None)
    if dims is None:
        return list(images)
    return list(images) if dims == 4 else [images]  # a single picture is (H, W), (H, W, C) or (C, H, W)


def convert_pictures(
    pictures: Sequence[Picture], convert: Callable[[Picture], Converted], first: int
) -> list[Converted]:
    """Convert pictures one by one.

    Args:
        pictures: some of the user's.
        convert: of one picture.
        first: the user's number of the first of them.

    Raises:
        InputError: as ``convert``, of the same class; the message tells which picture.
    """
    converted = []
    for index, picture in enumerate(pictures, first):
        try:
            converted.append(convert(picture))
        except InputError as error:
            raise type(error)(f"Picture {index}: {error}") from error
    return converted


def evenly(length: int, count: int) -> list[int]:
    """So many indices spread evenly over a sequence, first and last among them; more than there are repeat."""
    indices: list[int] = np.linspace(0, length - 1, count).round().astype(int).tolist()
    return indices
