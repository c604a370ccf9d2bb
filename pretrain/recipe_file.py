"""Recipe files: YAML values replace the defaults, and overrides replace both."""

from collections.abc import Sequence
from pathlib import Path

from sslhsic_transfer._config import apply_overrides, merge_values, read_yaml
from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.pretrain.recipe import Recipe

SHIPPED = Path(__file__).parent / "recipes"


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply overrides.

    Args:
        name_or_path: a YAML file, or the name of a bundled recipe, such as ``"imagenette-r18"``.
        overrides: ``"key=value"`` strings; keys are dotted (``loss.gamma=1``), values YAML.

    Raises:
        ConfigError: there is no such recipe, it is not YAML, or settings are invalid; the message lists all of them.
    """
    values = merge_values(Recipe().model_dump(mode="json"), read_yaml(_find(name_or_path)))
    return apply_overrides(Recipe, values, overrides, source=f"Recipe {name_or_path}")


def _find(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    for candidate in (path, SHIPPED / f"{name_or_path}.yaml", SHIPPED / str(name_or_path)):
        if candidate.is_file():
            return candidate
    shipped = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.yaml")))
    raise ConfigError(f"There is no recipe {str(name_or_path)!r}; expected a YAML file, or one of: {shipped}.")
