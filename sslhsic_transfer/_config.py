"""Settings: YAML and overrides to validated models. An error lists all problems, with found and expected values."""

import contextlib
import difflib
import reprlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.text_files import read_text

Model = TypeVar("Model", bound=BaseModel)

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong = 4, 200, 200, 60
_SHORT.maxdict = _SHORT.maxlist = _SHORT.maxtuple = 12
_DEEPEST_YAML = 64  # levels of nested lists and mappings
_MOST_VALUES = 1_000_000


def validate(model: type[Model], values: Mapping[str, Any], *, source: str) -> Model:
    """Build a pydantic model, or raise one error that lists everything wrong with the values.

    Args:
        model: the class to build.
        values: the values read or passed.
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
    """Return settings as YAML, with every setting written out."""
    text: str = yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return text


def read_yaml(path: Path) -> dict[str, Any]:
    """Read the settings of a YAML file, without validation.

    Raises:
        ConfigError: the file is not YAML, or does not hold settings.
    """
    text = read_text(path, ConfigError)
    try:
        values = parse_yaml(text) or {}
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds a {type(values).__name__}; expected settings, one `key: value` a line.")
    return values


def parse_yaml(text: str) -> Any:
    """Parse YAML.

    Raises:
        yaml.YAMLError: the text is not YAML.
        ValueError: the text holds an invalid date or number, is nested too deeply, or refers to parts of itself
            (`&name`, `*name`) so often that it stands for more values than any settings hold.
    """
    _require_bounded(text)
    return yaml.safe_load(text)


def _require_bounded(text: str) -> None:
    """Refuse YAML that nests too deeply or expands to too many values; raises the errors of `parse_yaml`."""
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


def _written_out(node: yaml.Node, known: dict[int, int]) -> int:
    """Count the values that a node stands for; a node that contains itself counts as more than allowed."""
    if id(node) not in known:
        known[id(node)] = _MOST_VALUES + 1  # counts if the node contains itself
        parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        known[id(node)] = 1 + (0 if isinstance(node, yaml.ScalarNode) else sum(_written_out(p, known) for p in parts))
    return known[id(node)]


def differences(old: BaseModel, new: BaseModel, *, free: Collection[str] = ()) -> list[str]:
    """List the settings in which two models of one kind differ: "optimizer.momentum: 0.9 then, 0.8 now".

    Args:
        old: the earlier settings.
        new: the present settings.
        free: names that may differ, in any section.
    """
    before, now = flatten(old.model_dump()), flatten(new.model_dump())
    return [
        f"{key}: {before.get(key)!r} then, {now.get(key)!r} now"
        for key in {**before, **now}
        if before.get(key) != now.get(key) and key.rpartition(".")[2] not in free
    ]


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested sections to dotted keys: {"loss": {"gamma": 3}} -> {"loss.gamma": 3}."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def apply_overrides(model: type[Model], values: Mapping[str, Any], overrides: Sequence[str], *, source: str) -> Model:
    """Apply overrides to values, and build a pydantic model from them.

    If a setting is text, its override is read as text: ``train=2007`` and ``train=yes`` name splits.

    Args:
        model: the class to build.
        values: nested sections.
        overrides: ``"key=value"`` strings; keys are dotted (``loss.gamma=1``), values YAML.
        source: where the values come from, for the message.

    Raises:
        ConfigError: an override is not ``key=value``, or values are missing, unknown or out of range.
    """
    changed = merge_values(values, {})
    written: dict[str, tuple[Any, Any]] = {}
    for override in overrides:
        key, value, text = _parsed(override)
        _put(changed, key, value)
        written.pop(key, None)  # the last override of a key counts, at its position
        written[key] = (value, text)
    for location in _where_text_is_wanted(model, changed):
        for key, (value, text) in written.items():
            path = tuple(key.split("."))
            if location[: len(path)] == path:
                written[key] = (_with_text(value, text, location[len(path) :]), text)
                _put(changed, key, written[key][0])
    return validate(model, changed, source=source)


def merge_values(defaults: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Merge values into defaults, section by section, so that unnamed settings of a section keep their defaults."""
    result = dict(defaults)
    for key, value in values.items():
        default = result.get(key)
        if isinstance(default, Mapping) and isinstance(value, Mapping):
            value = merge_values(default, value)
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
        else f"{where}: {message}, got {shorten(problem['input'])}"
    )


def shorten(value: Any) -> str:
    """Format a value for a message as Python writes it, abbreviated if it is long or deep."""
    return _SHORT.repr(value)


def _fields_at(model: Any, location: tuple[Any, ...]) -> list[str]:
    for part in location:
        field = getattr(model, "model_fields", {}).get(part)
        model = field.annotation if field else None
    return list(getattr(model, "model_fields", {}))


def _parsed(override: str) -> tuple[str, Any, Any]:
    """Return an override's key, its value, and the value with every scalar as the text that was written."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"Got the override {override!r}; expected key=value, such as epochs=20 or loss.gamma=1.")
    try:
        _require_bounded(text)
        value = texts = yaml.load(text, yaml.BaseLoader)
        with contextlib.suppress(ValueError):  # an invalid date or number stays text
            value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"The value of the override {override!r} is not YAML: {error}") from error
    # YAML 1.1 reads 1e-3 as a string, but users mean the number.
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = float(value)
    return key, value, text if texts is None else texts


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    *sections, last = key.split(".")
    for section in sections:
        inner = values.get(section)
        values[section] = dict(inner) if isinstance(inner, Mapping) else {}
        values = values[section]
    values[last] = value


def _where_text_is_wanted(model: type[BaseModel], values: Mapping[str, Any]) -> list[tuple[int | str, ...]]:
    """Return the places where a model expects text and finds another type."""
    try:
        model.model_validate(values)
    except ValidationError as error:
        return [problem["loc"] for problem in error.errors() if problem["type"] == "string_type"]
    return []


def _with_text(value: Any, text: Any, location: tuple[int | str, ...]) -> Any:
    """Replace the part of a value at a location by the text written there; change nothing if that is no single text."""
    if not location:
        return text if isinstance(text, str) else value
    place, *rest = location
    if isinstance(value, list) and isinstance(text, list) and isinstance(place, int):
        return [_with_text(v, text[n], tuple(rest)) if n == place else v for n, v in enumerate(value)]
    if isinstance(value, dict) and place in value and isinstance(text, dict) and place in text:
        return value | {place: _with_text(value[place], text[place], tuple(rest))}
    return value
