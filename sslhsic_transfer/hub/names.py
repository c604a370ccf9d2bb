"""Parsing of model names, without access to disk or network."""

import re
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from urllib.parse import unquote

from sslhsic_transfer.errors import ConfigError

_HUB_PREFIXES = ("hf-hub:", "hf_hub:")
_LOCAL_PREFIX = "local-dir:"
_PART = r"[A-Za-z0-9](?:[A-Za-z0-9_]|[.-](?![.-])){0,95}"
_REPOSITORY = re.compile(f"{_PART}/{_PART}")
_SHORT_NAME = re.compile(_PART)
# `Path` collapses the two slashes of an address into one.
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://|(https?|hf|s3|gs|file|ftp):/", re.IGNORECASE | re.ASCII)
_HUB_HOST = re.compile(r"(www\.)?(huggingface\.co|hf\.co)/", re.IGNORECASE)
_ON_HUB = re.compile(
    r"(?:(?:https?:/{1,2})?(?:www\.)?(?:huggingface\.co|hf\.co)|hf(?:[-_]hub)?:/?)/(?:models/)?"
    rf"(?:(?P<kind>datasets|spaces)/.*|(?P<name>{_PART}/{_PART}?)(?:\.git)?"
    r"(?:@(?P<at>[^/?#]+)|/(?:tree|blob|resolve|raw|commit|commits)/(?P<tree>[^/?#]+)(?:/[^?#]*)?|/[a-z]*(?:/[^?#]*)?)?"
    r"/?(?:[?#].*)?)",
    re.IGNORECASE | re.DOTALL,
)
# The names that git allows, except those that would leave the cache's folder of refs.
_REVISION = re.compile(r"(?!.*(?:\.\.|//|@\{))[A-Za-z0-9][A-Za-z0-9._/+-]{0,254}(?<![/.])")


@dataclass(frozen=True)
class HubName:
    """A model repository on the Hub: ``org/repo`` at a branch, tag or commit (None: its main branch)."""

    repo_id: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.repo_id if self.revision is None else f"{self.repo_id}@{self.revision}"


@dataclass(frozen=True)
class ShortName:
    """A name that may be in the table of short names, with the requested revision, if any."""

    name: str
    revision: str | None = None


def parse_name(text: str | Path, revision: str | None = None) -> Path | HubName | ShortName:
    """Tell which kind of name a text is, by its form alone.

    ========================================================= =======================
    a `Path`; ``local-dir:…``; text that is absolute, starts  a place on this machine
    with ``.`` or ``~``, ends with ``/`` or ``.safetensors``,
    or has two or more slashes
    ``org/repo``, ``hf-hub:org/repo``, with or without        a repository on the Hub
    ``@revision``
    a word, with or without ``@revision``                     a short name
    ========================================================= =======================

    The disk is not looked at, so a folder never replaces a repository of the same name.

    Args:
        text: the name.
        revision: the same as ``@revision`` at the end of the name.

    Raises:
        ConfigError: the text has none of these forms, is a web address, or asks for two different revisions.
    """
    if isinstance(text, Path):
        refuse_address(str(text))
        return _local(text, revision)
    if not isinstance(text, str):
        raise ConfigError(f"Got a {type(text).__name__} as a model's name. {EXPECTED}")
    refuse_address(text)
    for prefix in _HUB_PREFIXES:
        if text.startswith(prefix):
            return _on_the_hub(text.removeprefix(prefix), revision)
    if text.startswith(_LOCAL_PREFIX):
        return _local(Path(text.removeprefix(_LOCAL_PREFIX)), revision)
    name, _, _ = text.partition("@")
    looks_local = text.startswith((".", "~", "/")) or text.endswith(("/", ".safetensors")) or "\\" in text
    if looks_local or PureWindowsPath(text).drive or name.count("/") > 1:
        return _local(Path(text), revision)
    if "/" in name:
        return _on_the_hub(text, revision)
    name, revision = _split(text, revision)
    if not _SHORT_NAME.fullmatch(name):
        raise ConfigError(f"{text!r} is not a model's name. {EXPECTED}")
    return ShortName(name, revision)


EXPECTED = (
    "Expected a model folder (./folder, or any path with two slashes), a repository on the Hub (org/repo or "
    "org/repo@revision), or a short name, as `sslhsic models` lists them."
)


def refuse_address(text: str) -> None:
    """Refuse a web address. If it leads to a repository on the Hub, tell that repository's name.

    Raises:
        ConfigError: the text is a web address.
    """
    address = _ADDRESS.match(text) or _HUB_HOST.match(text)
    if address is None:
        return
    start = f"{text[:200]!r} is an address, not a model's name."
    place = _ON_HUB.fullmatch(text)
    if place is None:
        raise ConfigError(f"{start} {EXPECTED}")
    if place["kind"]:
        raise ConfigError(f"{start} It leads to one of the Hub's {place['kind']}, not to a model. {EXPECTED}")
    revision = unquote(place["at"] or place["tree"] or "main")
    name = place["name"] + (f"@{revision}" if revision != "main" else "")
    raise ConfigError(f"{start} A repository on the Hub is named ORG/NAME: write {name}")


def public_name(name: str) -> str:
    """Return a model's name for others to see: only the last two parts of a long or absolute path."""
    path = Path(name)
    return name if len(path.parts) <= 2 and not path.is_absolute() else "/".join(path.parts[-2:])


def _local(path: Path, revision: str | None) -> Path:
    if revision is not None:
        raise ConfigError(f"Got revision={revision!r} for the local path {path}: only repositories have revisions.")
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{str(path)!r} begins with the home folder of a user who is not known here.") from error


def _on_the_hub(text: str, revision: str | None) -> HubName:
    name, revision = _split(text, revision)
    if not _REPOSITORY.fullmatch(name) or name.endswith(".git"):
        raise ConfigError(f"{name!r} is not a repository's name, such as org/repo. {EXPECTED}")
    return HubName(name, revision)


def _split(text: str, revision: str | None) -> tuple[str, str | None]:
    name, at, named = text.partition("@")
    if at and revision not in (None, named):
        raise ConfigError(f"{text!r} names the revision {named!r}, and revision={revision!r} another one: give one.")
    revision = named if at else revision
    if revision is not None and not _REVISION.fullmatch(revision):
        raise ConfigError(f"{revision!r} is not a revision: expected a branch, a tag or a commit.")
    return name, revision
