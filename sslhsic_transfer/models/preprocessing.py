"""How a picture becomes an encoder's input: numbers that travel with the weights."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sslhsic_transfer._bicubic import resize_bicubic
from sslhsic_transfer._config import validate
from sslhsic_transfer.data.images import Picture, to_uint8_tensor
from sslhsic_transfer.errors import ImageError

if TYPE_CHECKING:
    from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

LARGEST_CROP = 1024  # pixels; a ResNet-18 takes a quarter of a gigabyte for each such picture
# What follows from pixels between 0 and 1, with room: Caffe's networks take them times 255, a deviation of 1/255.
_MEANS = (-1.0, 2.0)
_DEVIATIONS = (0.001, 10.0)
_MOST_PIXELS = 1 << 26  # of a resized picture, before it is cropped

ChannelMean = Annotated[
    tuple[float, float, float],
    Field(description="Mean of each channel, on the scale [0, 1]; it is subtracted."),
]
ChannelStd = Annotated[
    tuple[float, float, float],
    Field(description="Standard deviation of each channel, on the scale [0, 1]; values are divided by it."),
]


class Preprocessing(BaseModel):
    """Resize the short side, crop the center, scale to [0, 1], subtract ``mean``, divide by ``std``; RGB throughout.

    With ``style="byol-jax"`` the center is cut out first and then resized, as BYOL's and SSL-HSIC's JAX code evaluates;
    the share of the picture that is kept, crop / resize, is the same.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    resize: int = Field(default=256, ge=1, le=2 * LARGEST_CROP, description="Short side after resizing, in pixels.")
    crop: int = Field(
        default=224, ge=32, le=LARGEST_CROP, description="Side of the center square that is kept, in pixels."
    )
    interpolation: Literal["nearest", "bilinear", "bicubic"] = Field(
        default="bicubic", description="Interpolation of pixels when resizing."
    )
    antialias: bool = Field(default=True, description="If true, pictures are low-pass filtered before they are shrunk.")
    style: Literal["torchvision", "byol-jax"] = Field(
        default="torchvision",
        description="Implementation of the operations. torchvision: resize, then crop; byol-jax: as BYOL's JAX code, "
        "which first cuts out the center square of crop / resize of the short side and then resizes it to `crop` by "
        "TensorFlow's bicubic interpolation (a = −½).",
    )
    mean: ChannelMean = IMAGENET_MEAN
    std: ChannelStd = IMAGENET_STD

    @model_validator(mode="after")
    def _consistent(self) -> "Preprocessing":
        if self.crop > self.resize:
            raise ValueError(f"crop ({self.crop}) must not be larger than resize ({self.resize})")
        if self.style == "byol-jax" and (self.interpolation != "bicubic" or self.antialias):
            raise ValueError(
                f"style byol-jax is bicubic and not antialiased, got interpolation={self.interpolation} and "
                f"antialias={str(self.antialias).lower()}: set interpolation=bicubic and antialias=false"
            )
        if min(self.std) <= 0:
            raise ValueError(f"std must be positive, got {self.std}")
        for name, values, (low, high) in (("mean", self.mean, _MEANS), ("std", self.std, _DEVIATIONS)):
            if not all(low <= value <= high for value in values):  # NaN is between no two numbers
                on_bytes = max(values) <= 255 and max(self.mean) > high  # 255 times what is meant, a usual slip
                advice = ": divide mean and std by 255" if on_bytes else ""
                raise ValueError(
                    f"{name} must lie between {low:g} and {high:g}, as pixels lie between 0 and 1 where it is applied, "
                    f"got {values}{advice}"
                )
        return self

    @classmethod
    def for_size(cls, size: int) -> "Preprocessing":
        """Make the usual choice for square inputs of ``size`` pixels: the center 7/8 of the short side.

        Raises:
            ConfigError: a size that is too small or too large.
        """
        return validate(cls, {"resize": round(size * 8 / 7), "crop": size}, source=f"Preprocessing for {size} px")

    def at_size(self, size: int) -> "Preprocessing":
        """Make the same for crops of another size, with the same share of the picture in them.

        Raises:
            ConfigError: a size that is too small or too large.
        """
        if size == self.crop:
            return self
        changed = {"resize": round(self.resize * size / self.crop), "crop": size}
        return validate(Preprocessing, self.model_dump() | changed, source=f"Preprocessing for {size} px")

    def on_255(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation on the scale 0 to 255, in which other libraries configure them."""
        mean, std = ([round(255 * value, 6) for value in triple] for triple in (self.mean, self.std))
        return mean, std

    def transform(self) -> Callable[[Picture], "Tensor"]:
        """Make a transform from one picture, in any form that `data.images` knows, to the encoder's input.

        Whatever comes in is resized as a uint8 tensor, so that the same picture gives the same numbers as a path, a PIL
        image, an array or a tensor.

        Returns:
            A function from a picture to a (3, crop, crop) float32 tensor; it raises ImageError for what is no picture.
        """
        crop = self.crop_transform()
        return lambda picture: self.normalize(crop(picture)).contiguous()

    def crop_transform(self) -> Callable[[Picture], "Tensor"]:
        """Make the part of `transform` that ends with pixels, a quarter of the bytes; `normalize` is the rest.

        Returns:
            A function from a picture to a (3, crop, crop) uint8 tensor, in whatever memory layout came fastest; it can
            be pickled where processes are spawned, and raises ImageError for what is no picture.
        """
        from torchvision.transforms import InterpolationMode, v2

        if self.style == "byol-jax":
            cut_and_resized: Callable[[Picture], Tensor] = v2.Compose([to_uint8_tensor, self._cut_and_resize])
            return cut_and_resized
        interpolation = InterpolationMode(self.interpolation)
        transform: Callable[[Picture], Tensor] = v2.Compose(
            [
                to_uint8_tensor,
                self._refuse_slivers,
                v2.Resize(self.resize, interpolation=interpolation, antialias=self.antialias),
                v2.CenterCrop(self.crop),
            ]
        )
        return transform

    def normalize(self, pixels: "Tensor") -> "Tensor":
        """Scale (…, 3, H, W) uint8 pixels to [0, 1], subtract the mean, divide by the deviation; on their device."""
        import torch
        from torchvision.transforms.v2 import functional

        values = functional.to_dtype(pixels, torch.float32, scale=True)
        normalized: Tensor = functional.normalize(values, list(self.mean), list(self.std), inplace=True)
        return normalized

    def center(self, height: int, width: int) -> tuple[slice, slice]:
        """Give the rows and columns of a picture that style ``byol-jax`` cuts out.

        A side of ⌊short side · crop / resize⌋ pixels, at least one, whose free pixels are fewer below and to the right
        where they are odd.
        """
        side = max(1, min(height, width) * self.crop // self.resize)
        top, left = ((length - side + 1) // 2 for length in (height, width))
        return slice(top, top + side), slice(left, left + side)

    def _cut_and_resize(self, picture: "Tensor") -> "Tensor":
        import torch

        rows, columns = self.center(*picture.shape[-2:])
        pixels = resize_bicubic(picture[:, rows, columns].permute(1, 2, 0).cpu().numpy(), self.crop, self.crop)
        return torch.from_numpy(pixels).permute(2, 0, 1).to(picture.device)

    def _refuse_slivers(self, picture: "Tensor") -> "Tensor":
        """Refuse long lines of pixels: resizing would make gigabytes of a file of a hundred bytes."""
        height, width = picture.shape[-2:]
        if self.resize**2 * max(height, width) > _MOST_PIXELS * min(height, width):
            raise ImageError(
                f"The picture has {width} × {height} pixels: with a short side of {self.resize} it would have more "
                f"than {_MOST_PIXELS >> 20} million. Crop it first."
            )
        return picture
