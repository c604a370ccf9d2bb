"""Reading of pictures in any form, and conversion to RGB."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, Union

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from sslhsic_transfer._content import in_short, what_file_is_instead, what_it_is_instead
from sslhsic_transfer.data.picture_formats import open_picture
from sslhsic_transfer.data.storage import require_sound_machine
from sslhsic_transfer.data.strips import as_gray, rgb_array
from sslhsic_transfer.errors import ImageError, InputError, SSLHSICError

if TYPE_CHECKING:
    import torch

# A picture in any of the supported forms.
Picture = Union[Image.Image, np.ndarray[Any, Any], "torch.Tensor", str, Path]

Converted = TypeVar("Converted")

# Transposition that turns a picture upright, by EXIF orientation.
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
    """A numbered collection of pictures from any source; worker processes get a copy of it.

    Attributes:
        classes: names of the classes; empty: no labels.
        labels: index into ``classes`` of each picture; empty without classes.
    """

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""

    @property
    def labels(self) -> Sequence[int]:
        """Label of every picture."""

    def __len__(self) -> int: ...

    def open(self, index: int) -> Image.Image:
        """Open one picture, preferably not yet decoded, for use in a ``with`` statement.

        Raises:
            ImageError: the picture cannot be read.
        """

    def name(self, index: int) -> str:
        """Return the picture's name for the user."""


class KeyedPictures(Pictures, Protocol):
    """Pictures that know one another apart wherever their source is moved to."""

    def key(self, index: int) -> str:
        """Return what stands for the picture within its source, such as its relative path."""


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
        content: content of the file.
        name: its name in errors.

    Raises:
        ImageError: it is not a picture.
    """
    with picture_errors(name, content):
        return open_picture(BytesIO(content), name)


def load_image(path: str | Path) -> Image.Image:
    """Read a picture file as RGB, turned upright by its EXIF orientation.

    Raises:
        ImageError: there is no such file, or it is not a picture, or it is damaged.
    """
    with open_image(path) as image:
        return to_rgb(image)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert a PIL image of any mode to upright RGB; 16-bit gray is scaled to 8 bits, transparency is dropped.

    Floating-point values range from 0 to 255, or to 1 if none is larger.

    Raises:
        ImageError: the image is damaged, or its values are outside of these ranges or 16 bits.
    """
    with picture_errors(image):
        image = _turned_upright(image)
        if image.mode.startswith("I;16") or image.mode == "I":
            image = as_gray(image, 65535, lambda values, _: values >> 8, "0 to 65535")
        if image.mode == "F":
            image = as_gray(
                image, 255, lambda values, most: (values * (255 if most <= 1 else 1)).round(), "0 to 1 or 0 to 255"
            )
        if image.mode == "P":
            image.info.pop("transparency", None)  # Pillow would warn that it is dropped
        return image if image.mode == "RGB" else image.convert("RGB")


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return width and height after turning by the EXIF orientation, usually without decoding the image.

    A damaged EXIF block is ignored.
    """
    tags: Any = getattr(image, "tag_v2", None)
    if tags is not None:  # a TIFF, whose size before decoding depends on Pillow's release
        width, height = tags.get(ExifTags.Base.ImageWidth), tags.get(ExifTags.Base.ImageLength)
        sideways = tags.get(ExifTags.Base.Orientation) in _SIDEWAYS
        return (height, width) if sideways and width and height else image.size
    return (image.height, image.width) if _orientation(image) in _SIDEWAYS else image.size


def _orientation(image: Image.Image) -> int:
    """Read the EXIF orientation, 1 to 8; like viewers, assume 1 if there is none or it cannot be read."""
    for _ in range(2):  # after an error, Pillow returns the part that it could read
        try:
            value = image.getexif().get(ExifTags.Base.Orientation, 1)
        except Exception:  # many types, as in `picture_errors`
            continue
        return int(value) if value in _TURNS else 1
    return 1


def _turned_upright(image: Image.Image) -> Image.Image:
    """Decode an image, turn it by its orientation, and remove that tag; pixels are shared if nothing is turned."""
    image.load()
    turn = _TURNS.get(_orientation(image))
    upright = image._new(image.im) if turn is None else image.transpose(turn)
    for key in ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"):
        upright.info.pop(key, None)
    return upright


@contextmanager
def picture_errors(source: str | Path | Image.Image, content: bytes | None = None) -> Iterator[None]:
    """Convert errors of Pillow, which have many types such as SyntaxError and struct.error, to ImageError.

    Args:
        source: the picture, or its path or name.
        content: content of the file if ``source`` is only its name.

    Raises:
        ImageError: the picture cannot be read.
        StorageError, DeviceMemoryError: the machine is the cause, so that the next picture would fail, too.
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
        instead = what_file_is_instead(Path(source)) if content is None else what_it_is_instead(content)
        raise ImageError(f"Cannot read {source} as a picture: {instead or in_short(error)}") from error


def to_uint8_array(picture: Picture) -> NDArray[np.uint8]:
    """Convert any form of picture but a tensor to an (H, W, 3) uint8 array, RGB; torch is not needed.

    Args:
        picture: a path; a PIL image; a uint8 array (H, W), (H, W, 1) or (H, W, 3), RGB.

    Raises:
        ImageError: type, shape or dtype is not supported, or the file cannot be read.
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
    """Convert any form of picture to a (3, H, W) uint8 tensor; the memory layout is kept, channels last for files.

    Args:
        picture: a path; a PIL image; a uint8 array (H, W), (H, W, 1) or (H, W, 3), RGB; a tensor (1 or 3, H, W), uint8
            or floating on [0, 1].

    Raises:
        ImageError: shape, dtype or range is not supported, or the file cannot be read.
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
                "If it is normalized already, call the encoder itself: encoder(batch)."
            )
        tensor = (tensor.float() * 255).round().to(torch.uint8)
    elif tensor.dtype != torch.uint8:
        raise ImageError(f"Got a picture tensor of {tensor.dtype}; expected uint8, or floating on [0, 1].")
    return tensor.expand(3, -1, -1)


def as_pictures(images: Picture | Sequence[Picture]) -> Sequence[Picture]:
    """Make a sequence of pictures from one picture, a batch array or tensor, or any iterable of pictures."""
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
        pictures: some of the user's pictures.
        convert: function that converts one picture.
        first: the user's number of the first of them.

    Raises:
        InputError: as ``convert``, of the same class; the message gives the number of the picture.
    """
    converted = []
    for index, picture in enumerate(pictures, first):
        try:
            converted.append(convert(picture))
        except InputError as error:
            raise type(error)(f"Picture {index}: {error}") from error
    return converted


def spread_indices(length: int, count: int) -> list[int]:
    """Spread indices evenly over a sequence, including first and last; they repeat if ``count`` exceeds its length."""
    indices: list[int] = np.linspace(0, length - 1, count).round().astype(int).tolist()
    return indices
