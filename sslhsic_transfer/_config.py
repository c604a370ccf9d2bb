"""Settings: from YAML and overrides to validated models; every problem at once, with what was found and expected."""

import contextlib
import difflib
import reprlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from sslhsic_transfer.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong = 4, 200, 200, 60
_SHORT.maxdict = _SHORT.maxlist = _SHORT.maxtuple = 12
_DEEPEST_YAML = 64  # lists and mappings within one another
_MOST_VALUES = 1_000_000


def validated(model: type[Model], values: Mapping[str, Any], *, source: str) -> Model:
    """Build a pydantic model, or raise one error that lists everything wrong with the values.

    Args:
        model: the class to build.
        values: what was read or passed.
        source: where the values come from, for the message: "recipe demo.yaml".

    Raises:
        ConfigError: one or more values are missing, unknown or out of range.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = "\n".join(f"  {_describe(problem, model)}" for problem in error.errors())
        raise ConfigError(f"{source} cannot be used:\n{problems}") from error


def as_yaml(settings: BaseModel) -> str:
    """Settings as YAML, every one written out."""
    text: str = yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return text


def read_yaml(path: Path) -> dict[str, Any]:
    """The settings of a YAML file, not yet validated.

    Raises:
        ConfigError: it is not YAML, or holds something else than settings.
    """
    try:
        values = parse_yaml(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds a {type(values).__name__}; expected settings, one `key: value` a line.")
    return values


def parse_yaml(text: str) -> Any:
    """Parse YAML.

    Raises:
        yaml.YAMLError: it is none.
        ValueError: it is nested too deeply, or refers to parts of itself (`&name`, `*name`) until it stands for more
            than any settings hold.
    """
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST_YAML:
                raise ValueError(f"lists or sections lie more than {_DEEPEST_YAML} levels within one another")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    root = yaml.compose(text, yaml.SafeLoader)
    if root is not None and _written_out(root, {}) > _MOST_VALUES:
        raise ValueError(f"written out, with all *NAME in it, it has more than {_MOST_VALUES} values")
    return yaml.safe_load(text)


def _written_out(node: yaml.Node, known: dict[int, int]) -> int:
    """Count the values that a node stands for; what contains itself stands for more than can be counted."""
    if id(node) not in known:
        known[id(node)] = _MOST_VALUES + 1  # while it is counted
        parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        known[id(node)] = 1 + (0 if isinstance(node, yaml.ScalarNode) else sum(_written_out(p, known) for p in parts))
    return known[id(node)]


def differences(old: BaseModel, new: BaseModel, *, free: Collection[str] = ()) -> list[str]:
    """What two settings of one kind differ in: "optimizer.momentum: 0.9 then, 0.8 now".

    Args:
        old: one.
        new: the other.
        free: names that may differ, in any section.
    """
    before, now = flattened(old.model_dump()), flattened(new.model_dump())
    return [
        f"{key}: {before.get(key)!r} then, {now.get(key)!r} now"
        for key in {**before, **now}
        if before.get(key) != now.get(key) and key.rpartition(".")[2] not in free
    ]


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as dotted keys: {"loss": {"gamma": 3}} -> {"loss.gamma": 3}."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flattened(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def overridden(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Values with overrides applied.

    Args:
        values: nested sections.
        overrides: ``"key=value"`` strings; keys are dotted (``loss.gamma=1``), values YAML.

    Raises:
        ConfigError: an override has another form.
    """
    changed = merged(values, {})
    for override in overrides:
        _apply(changed, override)
    return changed


def merged(defaults: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Values over defaults, section by section, so that naming one setting of a section keeps the others."""
    result = dict(defaults)
    for key, value in values.items():
        default = result.get(key)
        if isinstance(default, Mapping) and isinstance(value, Mapping):
            value = merged(default, value)
        result[key] = value
    return result


def _describe(problem: Any, model: type[BaseModel]) -> str:
    where = ".".join(str(part) for part in problem["loc"]) or "(as a whole)"
    if problem["type"] == "extra_forbidden":
        known = _fields_at(model, problem["loc"][:-1])
        near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1)
        meant = f"did you mean {near[0]}? Known" if near else "known"
        return f"{where}: no such setting; {meant} here: {', '.join(known)}"
    if problem["type"] == "missing":
        return f"{where}: missing"
    message = problem["msg"].removeprefix("Value error, ")
    return (
        f"{where}: {message}"
        if "ctx" in problem and "error" in problem["ctx"]
        else f"{where}: {message}, got {shortened(problem['input'])}"
    )


def shortened(value: Any) -> str:
    """Show a value in a message: as Python writes it, without the middle of what is long or deep."""
    return _SHORT.repr(value)


def _fields_at(model: Any, location: tuple[Any, ...]) -> list[str]:
    for part in location:
        field = getattr(model, "model_fields", {}).get(part)
        model = field.annotation if field else None
    return list(getattr(model, "model_fields", {}))


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"Got the override {override!r}; expected key=value, such as epochs=20 or loss.gamma=1.")
    try:
        value = parse_yaml(text)
    except (yaml.YAMLError, ValueError) as error:
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
