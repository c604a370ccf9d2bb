"""Copies of a model folder's files without paths on this machine."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from sslhsic_transfer._config import read_yaml
from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.hub.config_file import FolderConfig
from sslhsic_transfer.hub.names import parse_name, public_name
from sslhsic_transfer.results import Result

OTHER_WEIGHTS = "other weights"


def redacted_weights(name: str) -> str:
    """Return the public name of a recipe's ``init_from``: the name itself, or `OTHER_WEIGHTS` for a path."""
    try:
        return OTHER_WEIGHTS if isinstance(parse_name(name), Path) else name
    except ConfigError:
        return OTHER_WEIGHTS


def redacted_recipe(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe's settings without paths."""
    source = recipe.get("init_from")
    return {**recipe, "init_from": redacted_weights(source)} if isinstance(source, str) else dict(recipe)


def redacted_recipe_file(path: Path) -> Path | bytes:
    """Return a recipe's file, or other content for it if it contains a path."""
    settings = read_yaml(path)
    if not isinstance(settings, Mapping) or (redacted := redacted_recipe(settings)) == settings:
        return path
    return yaml.safe_dump(redacted, sort_keys=False, allow_unicode=True).encode()


def redacted_config(config: FolderConfig) -> FolderConfig:
    """Return a folder's config.json without paths."""
    recipe = config.metadata.get("recipe")
    if not isinstance(recipe, Mapping):
        return config
    return config.model_copy(update={"metadata": {**config.metadata, "recipe": redacted_recipe(recipe)}})


def redacted_results(results: Sequence[Result]) -> list[Result]:
    """Return results that name a model given by its path only by the end of that path."""
    return [result.model_copy(update={"model": public_name(result.model)}) for result in results]
