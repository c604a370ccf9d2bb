"""Two views of a picture: the asymmetric augmentations of BYOL and SSL-HSIC, by torchvision."""

from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from sslhsic_transfer.pretrain.recipe import AugmentationSettings, ViewSettings


class TwoViews:
    """A picture in, two differently augmented and normalised (3, size, size) tensors out.

    Everything random is drawn from torch's global random state.

    Args:
        settings: the augmentations.
    """

    def __init__(self, settings: AugmentationSettings) -> None:
        self.transforms = [build_view(settings, view) for view in (settings.view1, settings.view2)]

    def __call__(self, image: Image.Image) -> tuple[Tensor, Tensor]:
        """Make the two views of an RGB picture."""
        tensor = v2.functional.pil_to_tensor(image)
        first, second = (transform(tensor) for transform in self.transforms)
        return first, second


def build_view(settings: AugmentationSettings, view: ViewSettings) -> Callable[[Tensor], Tensor]:
    """The transform of one view: (3, H, W) uint8 -> (3, size, size) float32, normalised."""
    jitter = v2.ColorJitter(settings.brightness, settings.contrast, settings.saturation, settings.hue)
    return v2.Compose(
        [
            v2.RandomResizedCrop(
                settings.size,
                scale=settings.crop_area,
                ratio=settings.crop_ratio,
                interpolation=InterpolationMode.BICUBIC,
                antialias=True,
            ),
            v2.RandomHorizontalFlip(settings.flip),
            v2.RandomApply([jitter], settings.jitter),
            v2.RandomGrayscale(settings.gray),
            v2.RandomApply([v2.GaussianBlur(settings.blur_taps, settings.blur_sigma)], view.blur),
            v2.RandomSolarize(128, view.solarize),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(settings.mean, settings.std),
        ]
    )
