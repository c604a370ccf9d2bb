"""The front matter of a README.md, as far as the Hub looks at it."""

import re

import yaml

FRONT_MATTER = re.compile(r"\A\s*---[ \t]*\n(.*?)\n---[ \t]*(\n|\Z)", re.DOTALL)


def _parse(readme: str) -> object:
    found = FRONT_MATTER.match(readme.replace("\r\n", "\n"))
    return yaml.safe_load(found[1]) if found else None


def metadata(readme: str) -> dict:
    """The front matter, or nothing where it is missing or broken."""
    try:
        data = _parse(readme)
    except yaml.YAMLError:
        return {}
    return data if isinstance(data, dict) else {}


def _texts(value: object) -> bool:
    values = value if isinstance(value, list) else [value]
    return all(isinstance(text, str) for text in values)


def problems(readme: str) -> tuple[list[str], list[str]]:
    """Errors, for which the Hub refuses a commit, and warnings.

    No license is neither, as on the Hub.
    """
    try:
        data = _parse(readme)
    except yaml.YAMLError as error:
        return [f"YAML Metadata Error: {error}"], []
    if data is None:
        return [], ["empty or missing yaml metadata in repo card"]
    if not isinstance(data, dict):
        return ['"value" must be of type object'], []
    errors = [
        f'"{key}" must be a string or an array of strings'
        for key in ("license", "language", "tags", "datasets", "metrics", "base_model")
        if key in data and not _texts(data[key])
    ]
    errors += [
        f'"{key}" must be a string'
        for key in ("library_name", "pipeline_tag")
        if not isinstance(data.get(key, ""), str)
    ]
    index = data.get("model-index", [])
    if not isinstance(index, list):
        return [*errors, '"model-index" must be an array'], []
    for number, model in enumerate(index):
        wanted = ("name", "results")
        errors += [f'"model-index[{number}].{key}" is required' for key in wanted if key not in model]
    return errors, []


def tags(data: dict) -> list[str]:
    """The tags that the Hub shows: the card's own, and those it makes of other fields."""
    shown = data.get("tags") or []
    shown = [shown] if isinstance(shown, str) else list(shown)
    shown += [data[key] for key in ("library_name", "pipeline_tag") if key in data]
    shown += [f"license:{data[key]}" for key in ("license",) if key in data]
    return shown
