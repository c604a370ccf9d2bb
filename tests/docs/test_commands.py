"""The commands on the pages exist, with their options, choices, settings and values, scripts and targets."""

import ast
import re
import shlex
import tomllib
from functools import cache
from itertools import chain
from typing import Any

import pytest
import typer

from sslhsic_transfer.cli.app import app
from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.pretrain.recipe_file import SHIPPED, load_recipe
from sslhsic_transfer.transfer.run import read_settings
from sslhsic_transfer.transfer.tasks import TASKS
from tests.docs.pages import ROOT, inline_code, name_of, pages, read, shell_lines

# These stand for the rest of a command that is only mentioned.
LEFT_OUT = ("…", "...", "RUN…")
# Options of other programs that our pages name, of `python -m`, and of scripts that take no options of ours.
OTHERS_OPTIONS = {
    "--cpu",
    "--cpus",
    "--multi_gpu",
    "--num_processes",
    "--machine_rank",
    "--mixed_precision",
    "--no-deps",
}
OTHERS_PARAMETERS = {"partition"}  # of a class of torchvision
RECIPES = sorted(file.stem for file in SHIPPED.glob("*.yaml"))
SETTING = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*=\S+")


@cache
def commands() -> Any:
    return typer.main.get_command(app)


def find(words: list[str]) -> tuple[Any, list[str]]:
    """Follow the words into the table of commands; what remains are arguments."""
    command, rest = commands(), list(words)
    while hasattr(command, "commands"):
        if not rest or rest[0].startswith("-"):
            break
        name = rest.pop(0)
        if "|" in name:  # knn|linear: each of them
            for one in name.split("|"):
                assert one in command.commands, one
            name = name.split("|")[0]
        assert name in command.commands, f"sslhsic has no {name!r}: {sorted(command.commands)}"
        command = command.commands[name]
    return command, rest


def options_of(command: Any) -> set[str]:
    return {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}


def check(words: list[str]) -> None:
    """Hold the arguments of `sslhsic` against the command that they call, its settings among them."""
    command, rest = find(words)
    if not rest or any(word in LEFT_OUT for word in rest):
        assert {word for word in rest if word.startswith("--")} <= options_of(command) | {"--help"}
        return
    given = command.make_context(command.name, rest).params
    overrides = given.get("overrides") or ()
    if command.name == "pretrain":
        load_recipe(given["recipe"], overrides)
    elif words[0] == "transfer":
        read_settings(command.name, overrides)


def launched(words: list[str]) -> list[str] | None:
    """Give the arguments of `sslhsic` that a launcher's line, or our own, comes to."""
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    if words and words[0] == "sslhsic":
        return words[1:]
    for module in ("pretrain", "transfer"):
        if f"sslhsic_transfer.{module}" in words:
            return [module, *words[words.index(f"sslhsic_transfer.{module}") + 1 :]]
    return None


def shown() -> list[tuple[str, str]]:
    return [(name_of(page), line) for page in pages() for line in shell_lines(read(page))]


def spoken_of() -> list[tuple[str, str]]:
    return [(name_of(page), code) for page in pages() for code in inline_code(read(page))]


def of_ours(lines: list[tuple[str, str]]) -> list[tuple[str, str]]:
    found = []
    for page, line in lines:
        if re.match(r"([A-Z_]+=\S+ )*(sslhsic|accelerate launch|torchrun) ", line) and "<" not in line:
            found.append((page, line))
    return found


@pytest.mark.parametrize(("page", "line"), of_ours(shown() + spoken_of()))
def test_commands_are_taken(page, line):
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        words = line.split()
    if (arguments := launched(words)) is not None:
        check(arguments)


def test_there_are_commands_to_check():
    """The reading of pages finds what they show."""
    assert len(of_ours(shown())) > 50
    assert len(of_ours(spoken_of())) > 20


def refusals(settings: list[str]) -> list[str]:
    """Say why no recipe and no task takes settings; empty if one does."""
    said = []
    for recipe in RECIPES:
        for beside in ([], ["data.cache=ram"]):
            try:
                load_recipe(recipe, [*beside, *settings])
            except ConfigError as error:
                said.append(str(error))
            else:
                return []
    for task in TASKS:
        try:
            read_settings(task, settings)
        except ConfigError as error:
            said.append(str(error))
        else:
            return []
    return said


@cache
def parameters() -> set[str]:
    """Collect names of parameters, fields and arguments in our code, for what pages say of calls in Python."""
    trees = (
        ast.parse(file.read_text("utf-8"))
        for top in ("sslhsic_transfer", "pretrain", "adapters")
        for file in (ROOT / top).rglob("*.py")
    )
    nodes = list(chain.from_iterable(ast.walk(tree) for tree in trees))
    arguments = {node.arg for node in nodes if isinstance(node, ast.arg | ast.keyword) and node.arg}
    return arguments | {
        node.target.id for node in nodes if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


@pytest.mark.parametrize("page", [name_of(page) for page in pages()])
def test_settings_that_are_spoken_of_are_settings(page):
    for code in inline_code(read(page)):
        words = code.split()
        if words and all(SETTING.fullmatch(word) for word in words) and ("…" in code or refusals(words)):
            for word in words:
                name = word.split("=")[0]
                assert "." not in name, f"{code}: {refusals(words)[0]}"
                assert name in parameters() | OTHERS_PARAMETERS, f"{code}: {refusals(words)[0]}"


@pytest.mark.parametrize("page", [name_of(page) for page in pages()])
def test_options_that_are_spoken_of_are_options(page):
    commands_to_see, known = [commands()], set(OTHERS_OPTIONS) | {"--help"}
    while commands_to_see:
        command = commands_to_see.pop()
        known |= options_of(command)
        commands_to_see += getattr(command, "commands", {}).values()
    for script in chain(
        (ROOT / "benchmarks").glob("*.py"), (ROOT / "tools").glob("*.py"), (ROOT / "examples").rglob("*.py")
    ):
        known |= script_options(script)
    for code in inline_code(read(page)):
        if code.startswith("--"):
            assert code.split()[0].split("=")[0] in known, code


def script_options(script: Any) -> set[str]:
    return {
        node.args[0].value
        for node in ast.walk(ast.parse(script.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument"
        and isinstance(node.args[0], ast.Constant)
    }  # fmt: skip


@pytest.mark.parametrize(
    ("page", "line"), [(page, line) for page, line in shown() + spoken_of() if re.match(r"python (?!-)\S", line)]
)
def test_scripts_are_there_and_have_the_options(page, line):
    words = shlex.split(line, comments=True)
    script = ROOT / words[1]
    assert script.is_file(), words[1]
    assert {word for word in words if word.startswith("--")} <= script_options(script)


@pytest.mark.parametrize(
    ("page", "line"), [(page, line) for page, line in shown() + spoken_of() if line.startswith("make ")]
)
def test_targets_are_there(page, line):
    makefile = read("Makefile")
    words = shlex.split(line, comments=True)
    for word in words[1:]:
        name, _, value = word.partition("=")
        assert re.search(rf"^{name} \?=|\$\({name}\)" if value else rf"^{name}:", makefile, re.MULTILINE), word
    if "gpu-bundle" in words:
        options = shlex.split(dict(word.split("=", 1) for word in words if "=" in word)["GPU_BUNDLE"])
        assert all(option in read("tools/gpu_bundle.sh") for option in options if option.startswith("--"))


@pytest.mark.parametrize("page", [name_of(page) for page in pages()])
def test_variables_of_the_environment_are_read(page):
    sources = "\n".join(
        file.read_text("utf-8")
        for top in ("sslhsic_transfer", "pretrain", "adapters", "tests")
        for file in (ROOT / top).rglob("*.py")
    )
    for name in re.findall(r"\bSSLHSIC_[A-Z_]+", read(page)):
        assert re.search(rf"[\"']{name}[\"']", sources), name


@pytest.mark.parametrize("page", [name_of(page) for page in pages()])
def test_extras_that_are_named_are_there(page):
    extras = tomllib.loads(read("pyproject.toml"))["project"]["optional-dependencies"]
    for names in re.findall(r"(?:sslhsic-transfer|-e '\.)\[([\w,]+)\]", read(page)):
        assert set(names.split(",")) <= set(extras)
