"""Choice of the loader for a source and a recipe."""

from typing import Any

import torch

from sslhsic_transfer.data.images import Pictures
from sslhsic_transfer.data.sources import Stream
from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.pretrain.loading.base import Loader
from sslhsic_transfer.pretrain.loading.cache import build_cache
from sslhsic_transfer.pretrain.loading.cached_loader import CachedLoader, DeviceLoader
from sslhsic_transfer.pretrain.loading.step_loader import StepLoader
from sslhsic_transfer.pretrain.loading.stream_loader import StreamLoader
from sslhsic_transfer.pretrain.recipe import Recipe


def build_loader(
    pictures: Pictures | Stream,
    recipe: Recipe,
    *,
    device: torch.device | str = "cpu",
    progress: bool = False,
    **options: Any,
) -> Loader[Any]:
    """Make the loader of a run; if the recipe asks for a cache, decode all pictures first.

    Args:
        pictures: the pictures to load.
        recipe: settings of views, batch, seed, workers and cache.
        device: the device that trains.
        progress: whether to show a progress bar of decoding.
        options: further arguments of `Loader`.

    Raises:
        ConfigError: a cache is set for a stream, or there is not enough memory.
        DataError: too many pictures cannot be read.
    """
    device = torch.device(device)
    if isinstance(pictures, Stream):
        if recipe.data.cache != "none":
            raise ConfigError(f"Got data.cache={recipe.data.cache} for a stream, which cannot be kept; expected none.")
        return StreamLoader(pictures, recipe, **options)
    if recipe.data.cache == "none":
        return StepLoader(pictures, recipe, **options)
    cache = build_cache(
        pictures, recipe.data, recipe.augmentation, device=device, workers=recipe.workers, progress=progress
    )
    if device.type == "cpu":
        return CachedLoader(pictures, recipe, cache, **options)
    return DeviceLoader(pictures, recipe, cache, device=device, **options)
