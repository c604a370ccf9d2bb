"""Color operations, blur and normalization of a batch, each picture with its own random numbers, on any device.

The operations are those of torchvision's v2 transforms on floating-point pictures, or with ``style: byol-jax`` those of
BYOL's JAX code; both clip to [0, 1] after each operation. They are reimplemented because torchvision uses one random
number for a whole batch.
"""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from sslhsic_transfer.pretrain.sections import AugmentationSettings
from sslhsic_transfer.pretrain.views.crops import View
from sslhsic_transfer.pretrain.views.draws import ORDERS, Batch, Colors
from sslhsic_transfer.pretrain.views.resampling import blur_matrices

# Function of pictures (n, 3, H, W) on [0, 1] and a number for each, (n, 1, 1, 1), that returns pictures.
_Operation = Callable[[Tensor, Tensor], Tensor]

# Weights of red, green and blue in a gray value.
_LUMA = (0.2989, 0.587, 0.114)
# Number of values that a CPU processes at a time, so that they stay in its cache.
_VALUES_AT_A_TIME = 1_500_000


class ColorOperations:
    """Color operations that turn cropped pictures into a network's input.

    Args:
        settings: the augmentations.
        compiled: whether, on an accelerator, torch.compile makes one program of all operations. It applies each to
            every picture and keeps the results that were drawn; otherwise each operation is applied only to the
            pictures that need it.

    Attributes:
        program: `apply_to_all`, compiled or not.
    """

    def __init__(self, settings: AugmentationSettings, *, compiled: bool = False) -> None:
        self.settings = settings
        self._jitter = _BYOL_JITTER if settings.style == "byol-jax" else _TORCHVISION_JITTER
        self.program = torch.compile(self.apply_to_all, dynamic=False) if compiled else self.apply_to_all
        self._compiled = compiled

    @torch.no_grad()
    def __call__(self, view: View, device: torch.device | str = "cpu") -> Tensor:
        """Apply the color operations of a batch.

        Args:
            view: pixels (B, 3, size, size) uint8 on any device, and colors (B,) on the CPU, as collated from
                `two_views`.
            device: the device to work on; the call does not wait for it.

        Returns:
            (B, 3, size, size) float32 on ``device``, normalized.
        """
        device = torch.device(device)
        pictures = len(view.pixels)
        if device.type == "cpu":
            count = max(1, _VALUES_AT_A_TIME // view.pixels[0].numel())
            parts = [slice(start, start + count) for start in range(0, pictures, count)]
            return torch.cat([self._apply_to_chosen(view.pixels[part], _take(view.colors, part)) for part in parts])
        pixels = view.pixels.to(device, non_blocking=True)
        if not self._compiled:
            return self._apply_to_chosen(pixels, view.colors)
        return self.program(pixels, *(part.to(device, non_blocking=True) for part in packed(view.colors)))

    def apply_to_all(self, pixels: Tensor, turns: Tensor, numbers: Tensor) -> Tensor:
        """Apply every operation to every picture, and keep its result where it was drawn.

        The control flow does not depend on the values, so that the function can be compiled and recorded.

        Args:
            pixels: (B, 3, size, size) uint8.
            turns: (B, 4) the operation of the jitter at each turn; −1: none.
            numbers: (B, 7) the fields of `Colors` except the order.
        """
        x, columns = pixels.float() / 255, numbers[:, :, None, None, None].unbind(1)
        for turn in turns[:, :, None, None, None].unbind(1):
            for number, operation in enumerate(self._jitter):
                x = torch.where(turn == number, operation(x, columns[number]), x)
        gray, sigma, solarize = columns[4:]
        x = torch.where(gray > 0, _luma(x), x)
        x = torch.where(sigma > 0, self._blur(x, sigma.clamp_min(1e-3)), x)
        x = torch.where((solarize > 0) & (x >= 0.5), 1 - x, x)
        return self._normalized(x)

    def _apply_to_chosen(self, pixels: Tensor, colors: Colors) -> Tensor:
        x = pixels.float().div_(255)
        turns = _turns(colors)
        for turn in turns.unbind(1):
            for number, operation in enumerate(self._jitter):
                _change(x, turn == number, operation, colors[1 + number])
        _change(x, colors.gray, lambda part, _: _luma(part).expand_as(part), colors.gray)
        sigma = torch.as_tensor(colors.sigma)
        _change(x, sigma > 0, self._blur, sigma)
        _change(x, colors.solarize, lambda part, _: torch.where(part >= 0.5, 1 - part, part), colors.solarize)
        return self._normalized(x)

    def _blur(self, x: Tensor, sigmas: Tensor) -> Tensor:
        reflect = self.settings.style == "torchvision"
        matrices = blur_matrices(sigmas.flatten(), x.shape[-1], self.settings.blur_taps, reflect=reflect)
        across = torch.bmm(x.flatten(1, 2), matrices.mT).view_as(x)
        return torch.matmul(matrices[:, None], across)

    def _normalized(self, x: Tensor) -> Tensor:
        if self.settings.style == "byol-jax":
            x = x.clamp(0, 1)
        for channel, mean, std in zip(x.unbind(1), self.settings.mean, self.settings.std, strict=True):
            channel.sub_(mean).div_(std)  # plain numbers, as a tensor would have to be copied to the device
        return x


def _change(x: Tensor, chosen: Batch | bool, operation: _Operation, values: Batch | float) -> None:
    """Overwrite the chosen pictures of a batch with the result of an operation on each and its value."""
    index = torch.as_tensor(chosen).nonzero().flatten()  # on the CPU, where the random numbers are, so no device waits
    own = cast(Tensor, values)[index].to(x.device, x.dtype, non_blocking=True)[:, None, None, None]
    if len(index) == len(x):
        x.copy_(operation(x, own))
    elif len(index):
        here = index.to(x.device, non_blocking=True)
        x[here] = operation(x[here], own)


def _turns(colors: Colors) -> Tensor:
    """Look up the operation of the jitter at each turn, (B, 4); −1: none."""
    order = torch.as_tensor(colors.order)
    return torch.where((order >= 0)[:, None], torch.tensor(ORDERS)[order], -1)


def packed(colors: Colors) -> tuple[Tensor, Tensor]:
    """Pack random numbers into the tensors that `ColorOperations.apply_to_all` takes."""
    return _turns(colors), torch.stack([cast(Tensor, values).float() for values in colors[1:]], dim=1)


def _take(colors: Colors, part: slice) -> Colors:
    return Colors(*(cast(Tensor, value)[part] for value in colors))


def _luma(x: Tensor) -> Tensor:
    red, green, blue = _LUMA
    return (x[:, 0] * red).add_(x[:, 1], alpha=green).add_(x[:, 2], alpha=blue)[:, None]


def _brightness(x: Tensor, factor: Tensor) -> Tensor:
    return (x * factor).clamp_(0, 1)


def _contrast(x: Tensor, factor: Tensor) -> Tensor:
    mean = _luma(x).flatten(1).mean(dim=1)[:, None, None, None]
    return torch.lerp(mean, x, factor).clamp_(0, 1)


def _added_brightness(x: Tensor, amount: Tensor) -> Tensor:
    return (x + amount).clamp_(0, 1)


def _channel_contrast(x: Tensor, factor: Tensor) -> Tensor:
    return torch.lerp(x.flatten(2).mean(dim=2)[:, :, None, None], x, factor).clamp_(0, 1)


def _saturation(x: Tensor, factor: Tensor) -> Tensor:
    return torch.lerp(_luma(x), x, factor).clamp_(0, 1)


def _hsv_saturation(x: Tensor, factor: Tensor) -> Tensor:
    """Multiply HSV's saturation, limited to 1, by scaling each channel's distance from the largest channel."""
    value, chroma = _value_and_chroma(x)
    growth = torch.minimum(factor, value / chroma.clamp_min(1e-12)).clamp_min_(0)
    return torch.lerp(value, x, growth).clamp_(0, 1)


def _hue(x: Tensor, turns: Tensor) -> Tensor:
    """Rotate HSV's hue, keeping value and chroma.

    The hue, in sixths of the circle, is kept near 0, where floating-point numbers are most precise.
    """
    red, green, blue = x.split(1, dim=1)
    value, chroma = _value_and_chroma(x)
    scale = torch.where(chroma > 0, chroma, 1).reciprocal_()
    sixths = torch.where(
        value == red,
        (green - blue) * scale,
        torch.where(value == green, (blue - red).mul_(scale).add_(2), (red - green).mul_(scale).sub_(2)),
    ).add_(turns * 6)
    channels = []
    for opposite in (3, -1, 1):  # the hue that lacks the channel: red's is cyan
        distance = sixths - opposite
        distance = distance.sub_((distance / 6).round_().mul_(6)).abs_()
        channels.append(value - (2 - distance).clamp_(0, 1).mul_(chroma))
    return torch.cat(channels, dim=1)


def _value_and_chroma(x: Tensor) -> tuple[Tensor, Tensor]:
    red, green, blue = x.split(1, dim=1)
    value = torch.maximum(torch.maximum(red, green), blue)
    return value, value - torch.minimum(torch.minimum(red, green), blue)


# Brightness, contrast, saturation, hue, as `Colors` holds their numbers.
_TORCHVISION_JITTER: tuple[_Operation, ...] = (_brightness, _contrast, _saturation, _hue)
_BYOL_JITTER: tuple[_Operation, ...] = (_added_brightness, _channel_contrast, _hsv_saturation, _hue)
