"""Recipes as files: YAML over the defaults, overrides over both."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from sslhsic_transfer._config import validated
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
    path = _find(name_or_path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"Recipe {path} is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"Recipe {path} holds a {type(values).__name__}; expected settings, one `key: value` a line.")
    values = _merge(Recipe().model_dump(mode="json"), values)
    for override in overrides:
        _apply(values, override)
    return validated(Recipe, values, source=f"Recipe {name_or_path}")


def dump_recipe(recipe: Recipe) -> str:
    """The resolved recipe as YAML, every setting written out; `load_recipe` reads it back to an equal one."""
    text: str = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return text


def _find(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    for candidate in (path, SHIPPED / f"{name_or_path}.yaml", SHIPPED / str(name_or_path)):
        if candidate.is_file():
            return candidate
    shipped = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.yaml")))
    raise ConfigError(f"There is no recipe {str(name_or_path)!r}; expected a YAML file, or one of: {shipped}.")


def _merge(defaults: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Values over defaults, section by section, so that naming one setting of a section keeps the others."""
    merged = dict(defaults)
    for key, value in values.items():
        default = merged.get(key)
        if isinstance(default, Mapping) and isinstance(value, Mapping):
            value = _merge(default, value)
        merged[key] = value
    return merged


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"Got the override {override!r}; expected key=value, such as epochs=20 or loss.gamma=1.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"The value of the override {override!r} is not YAML: {error}") from error
    # YAML 1.1 reads 1e-3 as a string; what users mean is the number.
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = float(value)
    *sections, last = key.split(".")
    for section in sections:
        inner = values.get(section)
        values[section] = dict(inner) if isinstance(inner, Mapping) else {}
        values = values[section]
    values[last] = value
