"""Checks that a model folder can be published: everything that its users rely on is tried first."""

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from sslhsic_transfer._files import sha256_of_file
from sslhsic_transfer.errors import PublishError, SSLHSICError
from sslhsic_transfer.hub.config_file import CONFIG_NAME, read_config
from sslhsic_transfer.hub.folder import read_folder
from sslhsic_transfer.hub.publishing.examples import lay_pictures, python_examples
from sslhsic_transfer.models.encoder import EncoderBase

_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{%|\bTODO\b|\bTBD\b|\bFIXME\b|\[More Information Needed\]|\?\?\?")
_NEEDED = ("license", "library_name", "pipeline_tag", "tags", "model-index")
_SNIPPET_SECONDS = 300


def validate_folder(folder: Path, card: str, repo_id: str) -> None:
    """Load the weights, check the card and its metadata, and run the card's first example.

    Args:
        folder: contains the config.json and weights to be published.
        card: the text of its README.md.
        repo_id: the model's name in the examples; they are run with the folder in its place.

    Raises:
        PublishError: a check fails; the message lists all problems.
    """
    problems: list[str] = []
    checks: dict[str, Callable[[], object]] = {
        "weights": lambda: read_folder(EncoderBase, folder),
        "ONNX files": lambda: _check_exported(folder),
        "card": lambda: _check_card(card),
        "example": lambda: _run_snippet(card, repo_id, folder),
    }
    for name, check in checks.items():
        if name == "example" and problems:
            continue  # it would fail for the problems already listed
        try:
            check()
        except SSLHSICError as error:
            problems.append(f"{name}: {error}")
    if problems:
        raise not_fit(folder, problems)


def not_fit(folder: Path, problems: list[str]) -> PublishError:
    """Return one error that lists everything that prevents publishing a folder."""
    return PublishError(f"{folder} cannot be published:\n" + "\n".join(f"- {problem}" for problem in problems))


def _check_exported(folder: Path) -> None:
    for listed in read_config(folder).onnx.values():
        path = folder / listed.file
        if not path.is_file() or sha256_of_file(path) != listed.sha256:
            raise PublishError(
                f"{listed.file} is not there, or not the file that {CONFIG_NAME} lists: export it again with "
                "`sslhsic publish … --with-onnx`"
            )


def _check_card(card: str) -> None:
    from huggingface_hub import ModelCard

    try:
        metadata = ModelCard(card).data.to_dict()
    except (ValueError, TypeError) as error:
        raise PublishError(f"its YAML cannot be read: {error}") from error
    missing = [name for name in _NEEDED if not metadata.get(name)]
    if missing:
        raise PublishError(f"its YAML lacks {', '.join(missing)}")
    if left := _PLACEHOLDER.search(card):
        line = card[: left.start()].count("\n") + 1
        raise PublishError(f"a placeholder is left in line {line}: {left.group()!r}")


def _run_snippet(card: str, repo_id: str, folder: Path) -> None:
    first = next(iter(python_examples(card)), "")
    if repo_id not in first:
        raise PublishError(f"its first Python example does not load {repo_id}")
    code = first.replace(repo_id, folder.resolve().as_posix())
    with tempfile.TemporaryDirectory() as place:
        lay_pictures(Path(place))
        try:
            subprocess.run(
                [sys.executable, "-c", code],
                cwd=place,
                capture_output=True,
                text=True,
                check=True,
                timeout=_SNIPPET_SECONDS,
            )
        except subprocess.CalledProcessError as error:
            raise PublishError(f"its first Python example fails:\n{error.stderr.strip()[-2000:]}") from error
        except subprocess.TimeoutExpired as error:
            raise PublishError(f"its first Python example takes more than {_SNIPPET_SECONDS} seconds") from error
