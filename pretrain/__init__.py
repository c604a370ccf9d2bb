"""Pretraining on Hugging Face Accelerate.

Holds the recipe, views, networks, objectives, optimizer, training loop, monitors and plots.
"""

from typing import TYPE_CHECKING

from sslhsic_transfer._lazy import lazy_names

if TYPE_CHECKING:
    from sslhsic_transfer.pretrain.loop import pretrain as pretrain
    from sslhsic_transfer.pretrain.monitors.plot import plot_runs as plot_runs
    from sslhsic_transfer.pretrain.recipe import Recipe as Recipe
    from sslhsic_transfer.pretrain.recipe_file import load_recipe as load_recipe

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Recipe": "sslhsic_transfer.pretrain.recipe",
        "load_recipe": "sslhsic_transfer.pretrain.recipe_file",
        "plot_runs": "sslhsic_transfer.pretrain.monitors.plot",
        "pretrain": "sslhsic_transfer.pretrain.loop",
    },
)
