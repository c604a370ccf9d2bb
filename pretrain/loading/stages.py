"""Progressive resizing: the size of views in each step."""

import math
from collections.abc import Iterator

from sslhsic_transfer.pretrain.recipe import Recipe
from sslhsic_transfer.pretrain.sections import AugmentationSettings


def view_stages(steps: range, recipe: Recipe, pictures: int) -> Iterator[tuple[range, AugmentationSettings]]:
    """Divide steps into consecutive parts whose views are made alike.

    A step belongs to the epoch in which it begins.

    Args:
        steps: the remaining steps of a run.
        recipe: settings of views and batch.
        pictures: number of pictures in an epoch.
    """
    views = recipe.augmentation
    ends = [(math.ceil(epoch * pictures / recipe.batch_size), size) for epoch, size in views.progressive]
    start = steps.start
    for end, size in [*ends, (steps.stop, views.size)]:
        stage = range(start, min(end, steps.stop))
        if stage:
            yield stage, views.model_copy(update={"size": size})
            start = stage.stop
