"""Publishing: upload a model folder to the Hub in one commit, and read it back."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sslhsic_transfer._files import json_text, write_text
from sslhsic_transfer.errors import ConfigError, FingerprintError, HubError, ModelNotFoundError, PublishError
from sslhsic_transfer.hub.config_file import (
    CONFIG_NAME,
    WEIGHTS_NAME,
    FolderConfig,
    config_values,
    read_config,
    write_config,
)
from sslhsic_transfer.hub.download import HubAccess, download_model
from sslhsic_transfer.hub.folder import read_folder, save_folder
from sslhsic_transfer.hub.names import HubName, parse_name
from sslhsic_transfer.hub.publishing.card import CARD_NAME, render_card, written_by_hand
from sslhsic_transfer.hub.publishing.facts import known_facts
from sslhsic_transfer.hub.publishing.redaction import redacted_config, redacted_recipe_file, redacted_results
from sslhsic_transfer.hub.publishing.remote import Content, Remote, RemoteState
from sslhsic_transfer.hub.publishing.validation import not_fit, validate_folder
from sslhsic_transfer.models.encoder import EncoderBase
from sslhsic_transfer.results import RESULTS_NAME, Result, load_results, results_text, save_results

_RECIPE = "recipe.yaml"
# The only files that are uploaded, where they exist, besides the ONNX files that config.json lists.
PUBLISHED = (
    CARD_NAME,
    CONFIG_NAME,
    WEIGHTS_NAME,
    RESULTS_NAME,
    _RECIPE,
    "metrics.jsonl",
    "curves.png",
    "LICENSE",
)


@dataclass(frozen=True)
class PublishReport:
    """Result of publishing, or of a dry run.

    Attributes:
        repo_id: the repository.
        files: file -> (bytes, "new", "changed" or "unchanged").
        left_out: files in the folder that are not uploaded.
        commit: the commit that now holds the model; None after a dry run.
        url: the address of the commit or the pull request; None if nothing was uploaded.
        tag: the commit's tag, if one was requested.
        note: a remark for the user, if any.
    """

    repo_id: str
    files: dict[str, tuple[int, str]]
    left_out: tuple[str, ...]
    commit: str | None = None
    url: str | None = None
    tag: str | None = None
    note: str | None = None


def publish(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool = False,
    tag: str | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    dry_run: bool = False,
    token: str | bool | None = None,
    **facts: Any,
) -> PublishReport:
    """Check a model folder, upload it in one commit, read it back, verify it and tag it.

    Paths on this machine in config.json, results.json and recipe.yaml are removed from the uploaded files: see
    `sslhsic_transfer.hub.publishing.redaction`.

    Publishing the same content again uploads nothing. A failure before the commit leaves the Hub unchanged, except that
    an empty repository may have been created.

    Args:
        folder: contains config.json, model.safetensors and results.json; its README.md is written anew.
        repo_id: ``org/name``; created if it does not exist.
        private: create a private repository; if the repository exists and is public, an error is raised.
        tag: name for this version, such as ``v1``; it must not name another version.
        revision: the branch; by default main. It is created if needed.
        create_pr: propose the change as a pull request instead of making it.
        dry_run: check everything and report what would be uploaded; write nothing, locally or on the Hub.
        token: a token with write access; by default the one that huggingface_hub has stored.
        facts: fields of `ModelFacts`, such as ``licence="apache-2.0", trained_by="…"``; they are stored in config.json.

    Returns:
        A report of the files and the commit.

    Raises:
        PublishError: the folder cannot be published, or the tag names another version; the message lists all problems.
        ModelNotFoundError: the folder does not contain a model.
        HubError: the Hub refuses, fails or cannot be reached.
        FingerprintError: the files read back differ from those uploaded.
    """
    folder, name = Path(folder), _target(repo_id, revision, tag, create_pr)
    if not folder.is_dir():
        raise ModelNotFoundError(f"There is no folder {folder}; expected a model folder, such as RUN/model/.")
    config = _with_facts(read_config(folder), facts)
    contents, card = _contents(folder, repo_id, config)
    validate_folder(folder, card, repo_id)
    remote = Remote(name, token)
    state, note = _ask(remote, dry_run)
    if private and state.private is False:
        raise PublishError(f"{repo_id} is public already: make it private on its page, or choose another name.")
    files = {file: (_size(content), _compared(state, file, content)) for file, content in contents.items()}
    changed = {file: contents[file] for file, (_, how) in files.items() if how != "unchanged"}
    if tag is not None and tag in state.tags and (changed or state.tags[tag] != state.commit):
        raise PublishError(f"{repo_id} has a tag {tag} already, at commit {state.tags[tag]}: choose another one.")
    known = {Path(file).parts[0] for file in (*PUBLISHED, *contents)}
    left_out = tuple(sorted(entry.name for entry in folder.iterdir() if entry.name not in known))
    if dry_run:
        return PublishReport(repo_id, files, left_out, tag=tag, note=note)

    write_config(folder / CONFIG_NAME, config)
    write_text(folder / CARD_NAME, card)
    remote.check_card(card)
    commit, url = state.commit, None
    if changed or commit is None:
        remote.create(private)
        message = f"{config.encoder.architecture}, weights {config.fingerprint.sha256[:12]}"
        parent = state.commit or remote.state().commit
        commit, url = remote.commit(changed, message, parent=parent, create_pr=create_pr)
    _read_back(remote, commit, contents, config.fingerprint.sha256)
    if tag and tag not in state.tags:
        remote.tag(tag, commit)
    return PublishReport(repo_id, files, left_out, commit, url, tag)


def push_to_hub(encoder: EncoderBase, repo_id: str, results: Sequence[Result], **options: Any) -> PublishReport:
    """Publish an encoder from memory.

    Args:
        encoder: the encoder; its ``metadata`` go into config.json.
        repo_id: ``org/name``.
        results: measurements of the saved encoder by `evaluate`, with baselines. The encoder's own records name the
            hash of its weights; saving the same weights always gives the same hash.
        options: as for `publish`.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = save_folder(encoder, Path(place) / "model")
        if encoder.weights_sha256 not in (None, read_config(folder).fingerprint.sha256):
            half = save_folder(encoder, Path(place) / "half", dtype=torch.float16)
            if read_config(half).fingerprint.sha256 == encoder.weights_sha256:  # the dtype in which they were stored
                folder = half
        save_results(folder / RESULTS_NAME, results)
        return publish(folder, repo_id, **options)


def _target(repo_id: str, revision: str | None, tag: str | None, create_pr: bool) -> HubName:
    name = parse_name(repo_id, revision)
    if not isinstance(name, HubName) or (name.revision is not None and revision is None):
        raise ConfigError(f"Got the repository {repo_id!r}; expected org/name, with the branch as revision.")
    if tag is not None:
        parse_name(repo_id, tag)  # raises for an invalid tag
    if tag is not None and create_pr:
        raise ConfigError("A pull request cannot be tagged: tag the version once it is merged.")
    return name


def _with_facts(config: FolderConfig, facts: dict[str, Any]) -> FolderConfig:
    return config.model_copy(update={"metadata": config.metadata | known_facts(facts)})


def _contents(folder: Path, repo_id: str, config: FolderConfig) -> tuple[dict[str, Content], str]:
    """Return the files to upload, and the card."""
    if not (folder / RESULTS_NAME).is_file():
        raise not_fit(
            folder,
            [f"no {RESULTS_NAME}: measure it, such as `sslhsic evaluate knn … --output {folder / RESULTS_NAME}`"],
        )
    if written_by_hand(folder / CARD_NAME):
        raise not_fit(
            folder,
            [
                f"its {CARD_NAME} was written by hand and would be lost: move it away; what it says beyond the "
                "generated card can be passed as intended_use and limits"
            ],
        )
    exported = [listed.file for listed in config.onnx.values()]
    there = {file: folder / file for file in (*PUBLISHED, *exported) if (folder / file).is_file()}
    redacted: dict[str, Content] = {
        CONFIG_NAME: json_text(config_values(redacted_config(config))).encode(),
        RESULTS_NAME: results_text(results := redacted_results(load_results(folder / RESULTS_NAME))).encode(),
    }
    if _RECIPE in there:
        redacted[_RECIPE] = redacted_recipe_file(folder / _RECIPE)
    try:
        card = render_card(repo_id, config, results, has_recipe=_RECIPE in there)
    except PublishError as error:
        raise not_fit(folder, str(error).splitlines()) from error
    return {**there, **redacted, CARD_NAME: card.encode()}, card


def _ask(remote: Remote, dry_run: bool) -> tuple[RemoteState, str | None]:
    try:
        return remote.state(), None
    except HubError as error:
        if not dry_run:
            raise
        return RemoteState(), f"What the Hub holds is not known, so everything counts as new: {error}"


def _compared(state: RemoteState, file: str, content: Content) -> str:
    if file not in state.hashes:
        return "new"
    return "unchanged" if state.holds(file, content) else "changed"


def _size(content: Content) -> int:
    return content.stat().st_size if isinstance(content, Path) else len(content)


def _read_back(remote: Remote, commit: str, contents: dict[str, Content], sha256: str) -> None:
    """Load the model from the Hub as any user would, and compare the hash of every file."""
    state = remote.state(commit)
    wrong = [file for file, content in contents.items() if not state.holds(file, content)]
    if wrong:
        raise FingerprintError(
            f"{remote.name.repo_id} at {commit} does not hold what was sent: {', '.join(wrong)}. Publish it again."
        )
    with tempfile.TemporaryDirectory() as cache:
        name = HubName(remote.name.repo_id, commit)
        read_folder(EncoderBase, download_model(name, HubAccess(cache, token=remote.token)), sha256=sha256)
