"""State of a repository on the Hub, and the commands that change it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sslhsic_transfer._files import sha256_of_file
from sslhsic_transfer.errors import ModelNotFoundError, PublishError
from sslhsic_transfer.hub.hub_errors import hub_errors
from sslhsic_transfer.hub.names import HubName

Content = Path | bytes
_SECONDS = 30.0  # to wait for an answer
_SHA256_DIGITS = 64


@dataclass(frozen=True)
class RemoteState:
    """A repository at one commit.

    Attributes:
        commit: its id; None if there is no repository or no such revision yet.
        hashes: file -> SHA-256 of a large file, git blob id of any other.
        tags: tag -> commit.
        private: whether the repository is private; None if there is none.
    """

    commit: str | None = None
    hashes: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    private: bool | None = None

    def holds(self, name: str, content: Content) -> bool:
        """Tell whether the repository has a file with exactly this content."""
        known = self.hashes.get(name)
        return known is not None and known == (_sha256 if len(known) == _SHA256_DIGITS else _blob_id)(content)


class Remote:
    """A model repository, and the token for it.

    Args:
        name: repository and branch to write to; None means main.
        token: None uses the token that huggingface_hub has stored.
    """

    def __init__(self, name: HubName, token: str | bool | None) -> None:
        from huggingface_hub import HfApi

        self.name = name
        self.token = token
        self._api = HfApi(token=token, library_name="sslhsic-transfer")
        self._branch = name.revision or "main"

    def state(self, commit: str | None = None) -> RemoteState:
        """Return the state at the end of the branch or at a commit; an empty state if there is no repository."""
        repo = self.name.repo_id
        try:
            with hub_errors(repo):
                private = self._api.model_info(repo, timeout=_SECONDS).private
                tags = {tag.name: tag.target_commit for tag in self._api.list_repo_refs(repo).tags}
        except ModelNotFoundError:
            return RemoteState()
        try:
            with hub_errors(str(self.name)):
                head = self._api.model_info(repo, revision=commit or self._branch, timeout=_SECONDS).sha
                files = self._api.list_repo_tree(repo, revision=head, recursive=True)
                hashes = {entry.path: _remote_hash(entry) for entry in files if hasattr(entry, "blob_id")}
        except ModelNotFoundError:
            return RemoteState(tags=tags, private=private)
        return RemoteState(head, hashes, tags, private)

    def create(self, private: bool) -> None:
        """Create the repository and the branch if they do not exist."""
        with hub_errors(f"the creation of {self.name}"):
            self._api.create_repo(self.name.repo_id, private=private, exist_ok=True)
            if self._branch != "main":
                self._api.create_branch(self.name.repo_id, branch=self._branch, exist_ok=True)

    def commit(
        self, contents: Mapping[str, Content], message: str, *, parent: str | None, create_pr: bool
    ) -> tuple[str, str]:
        """Upload files in one commit; huggingface_hub shows the progress.

        Returns:
            The commit's id, and the address of the commit or of the pull request.
        """
        from huggingface_hub import CommitOperationAdd

        operations = [CommitOperationAdd(name, content) for name, content in contents.items()]
        with hub_errors(f"the upload to {self.name}"):
            done = self._api.create_commit(
                self.name.repo_id,
                operations,
                commit_message=message,
                revision=self._branch,
                parent_commit=parent,
                create_pr=create_pr,
            )
        return done.oid, done.pr_url or done.commit_url

    def tag(self, tag: str, commit: str) -> None:
        """Tag a commit."""
        with hub_errors(f"the tag {tag} of {self.name}"):
            self._api.create_tag(self.name.repo_id, tag=tag, revision=commit)

    def check_card(self, card: str) -> None:
        """Ask the Hub to check a card's metadata.

        Raises:
            PublishError: the Hub rejects the metadata.
        """
        from huggingface_hub import ModelCard

        with hub_errors(f"the card of {self.name}"):
            try:
                ModelCard(card).validate()
            except ValueError as error:
                raise PublishError(f"card: the Hub does not accept its YAML: {error}") from error


def _remote_hash(entry: Any) -> str:
    lfs = entry.lfs
    return str(entry.blob_id if lfs is None else lfs.sha256)


def _sha256(content: Content) -> str:
    return sha256_of_file(content) if isinstance(content, Path) else hashlib.sha256(content).hexdigest()


def _blob_id(content: Content) -> str:
    data = content.read_bytes() if isinstance(content, Path) else content
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
