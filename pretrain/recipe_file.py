"""Recipes as files: YAML over the defaults, overrides over both."""

from collections.abc import Sequence
from pathlib import Path

from sslhsic_transfer._config import configured, merged, read_yaml
from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.pretrain.recipe import Recipe

SHIPPED = Path(__file__).parent / "recipes"


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply overrides.

    Args:
        name_or_path: a YAML file, or the name of a recipe that ships, such as ``"imagenette-r18"``.
        overrides: ``"key=value"`` strings; keys are dotted (``loss.gamma=1``), values YAML.

    Raises:
        ConfigError: no such recipe, not YAML, or settings that cannot be used, all of them listed.
    """
    values = merged(Recipe().model_dump(mode="json"), read_yaml(_find(name_or_path)))
    return configured(Recipe, values, overrides, source=f"Recipe {name_or_path}")


def _find(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    for candidate in (path, SHIPPED / f"{name_or_path}.yaml", SHIPPED / str(name_or_path)):
        if candidate.is_file():
            return candidate
    shipped = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.yaml")))
    raise ConfigError(f"There is no recipe {str(name_or_path)!r}; expected a YAML file, or one of: {shipped}.")
