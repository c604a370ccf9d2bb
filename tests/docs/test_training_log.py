"""The training log tells how the weights that ship came about, by the records that lie beside them."""

import json
import shlex
from typing import Any

import pytest

from sslhsic_transfer.pretrain.recipe_file import load_recipe
from tests.docs.pages import read, shell_lines

# Settings that change no weight, or name the same weights otherwise.
ELSEWHERE = {"workers", "checkpoint_every", "init_from"}


def section(name: str) -> str:
    return read("docs/training-log.md").split(f"### {name}, v2\n")[1].split("\n### ")[0]


def flat(values: dict[str, Any], before: str = "") -> dict[str, Any]:
    found = {}
    for key, value in values.items():
        found |= flat(value, f"{before}{key}.") if isinstance(value, dict) else {before + key: value}
    return found


@pytest.mark.parametrize("name", ["sslhsic-r18", "sslhsic-r50"])
def test_the_command_is_that_of_the_run(name):
    """The command, with today's defaults, makes the recipe that the run had: all that differed is said."""
    (line,) = shell_lines(section(name))
    recipe, *rest = shlex.split(line)[2:]
    overrides = [word for word in rest if "=" in word]
    now = flat(load_recipe(recipe, overrides).model_dump(mode="json"))
    then = flat(json.loads(read(f"model_cards/{name}/config.json"))["metadata"]["recipe"])
    assert len(then) > 40
    differing = {key: (then[key], now.get(key)) for key in then if now.get(key) != then[key]}
    assert set(differing) <= ELSEWHERE, differing


@pytest.mark.parametrize("name", ["sslhsic-r18", "sslhsic-r50"])
def test_online_figures_are_those_of_the_log(name):
    lines = [json.loads(line) for line in read(f"model_cards/{name}/metrics.jsonl").splitlines()]
    probes = [line for line in lines if "knn" in line]
    assert len(probes) == 4
    for line in probes:
        row = f"| {line['epoch']:.0f} | {100 * line['knn']:.1f} | {100 * line['linear']:.1f} | {line['rankme']:.0f} |"
        assert row in section(name), row


@pytest.mark.parametrize("name", ["sslhsic-r18", "sslhsic-r50"])
def test_steps_and_hours_are_those_of_the_run(name):
    facts = json.loads(read(f"model_cards/{name}/config.json"))["metadata"]
    text = " ".join(section(name).split())
    assert f"{facts['steps']:,} steps on **one** core in {facts['hours']:.1f} hours" in text
