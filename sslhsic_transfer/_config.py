"""Validation of settings: every problem at once, naming the field, the value found and the values expected."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from sslhsic_transfer.errors import ConfigError

Model = TypeVar("Model", bound=BaseModel)


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


def _describe(problem: Any, model: type[BaseModel]) -> str:
    where = ".".join(str(part) for part in problem["loc"]) or "(as a whole)"
    if problem["type"] == "extra_forbidden":
        known = ", ".join(_fields_at(model, problem["loc"][:-1]))
        return f"{where}: no such setting; known here: {known}"
    if problem["type"] == "missing":
        return f"{where}: missing"
    message = problem["msg"].removeprefix("Value error, ")
    return (
        f"{where}: {message}"
        if "ctx" in problem and "error" in problem["ctx"]
        else f"{where}: {message}, got {problem['input']!r}"
    )


def _fields_at(model: Any, location: tuple[Any, ...]) -> list[str]:
    for part in location:
        field = getattr(model, "model_fields", {}).get(part)
        model = field.annotation if field else None
    return list(getattr(model, "model_fields", {}))
