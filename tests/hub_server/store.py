"""The store of the Hub: content-addressed blobs, commits that never change, and names that point at commits."""

import hashlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from types import MappingProxyType

LFS_SUFFIXES = (
    ".safetensors",
    ".bin",
    ".pt",
    ".pth",
    ".ckpt",
    ".onnx",
    ".h5",
    ".npy",
    ".npz",
    ".parquet",
    ".zip",
    ".gz",
)
LFS_BYTES = 10 * 1024**2  # larger files are LFS whatever they are called
ATTRIBUTES = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LFS_SUFFIXES).encode()


class HubError(Exception):
    """An answer that is an error: HTTP status, the Hub's `X-Error-Code` (the client's error class) and a message."""

    def __init__(self, status: int, code: str | None, message: str, headers: Mapping[str, str] = MappingProxyType({})):
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers


def is_lfs(path: str, size: int) -> bool:
    """Tell whether the Hub keeps a file outside git."""
    return size > 0 and (path.endswith(LFS_SUFFIXES) or size > LFS_BYTES)


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def git_sha1(content: bytes) -> str:
    """The id that git gives a blob."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass(frozen=True)
class Blob:
    """The content of a file, in git or in LFS."""

    content: bytes
    lfs: bool

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def pointer(self) -> bytes:
        """Return the pointer that git holds in place of an LFS file."""
        text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.content)}\n"
        return text.encode()

    @cached_property
    def oid(self) -> str:
        """The id in git: of the content, or of the pointer to it."""
        return git_sha1(self.pointer if self.lfs else self.content)

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.oid

    @property
    def lfs_entry(self) -> dict | None:
        if not self.lfs:
            return None
        size = len(self.content)
        return {"oid": self.sha256, "sha256": self.sha256, "size": size, "pointerSize": len(self.pointer)}


@dataclass(frozen=True, eq=False)
class Commit:
    """A snapshot of all files. `number` makes two commits of the same content differ."""

    repo_id: str
    number: int
    parent: "Commit | None"
    title: str
    message: str
    files: Mapping[str, Blob]
    date: str = field(default_factory=now)

    @cached_property
    def id(self) -> str:
        tree = sorted((path, blob.oid) for path, blob in self.files.items())
        parent = self.parent.id if self.parent else None
        text = repr((self.repo_id, self.number, parent, self.title, self.message, tree))
        return hashlib.sha1(text.encode()).hexdigest()

    def history(self) -> Iterator["Commit"]:
        """This commit and those before it, newest first."""
        commit: Commit | None = self
        while commit is not None:
            yield commit
            commit = commit.parent


@dataclass
class Pull:
    """A pull request: a branch of its own, `refs/pr/<number>`."""

    number: int
    title: str
    head: Commit
    status: str = "open"
    created: str = field(default_factory=now)


class Repository:
    """Commits, and the branches, tags and pull requests that point at them."""

    def __init__(self, repo_id: str, *, private: bool = False):
        self.id, self.private, self.gated, self.created = repo_id, private, False, now()
        self.commits: dict[str, Commit] = {}
        self.tags: dict[str, Commit] = {}
        self.pulls: dict[int, Pull] = {}
        first = self._record(None, {".gitattributes": Blob(ATTRIBUTES, lfs=False)}, "initial commit", "")
        self.branches: dict[str, Commit] = {"main": first}

    def _record(self, parent: Commit | None, files: Mapping[str, Blob], title: str, message: str) -> Commit:
        commit = Commit(self.id, len(self.commits), parent, title, message, MappingProxyType(dict(files)))
        self.commits[commit.id] = commit
        return commit

    def resolve(self, revision: str) -> Commit:
        """The commit that a branch, a tag, a `refs/…` name or a (shortened) commit id means."""
        named = {f"refs/pr/{pull.number}": pull.head for pull in self.pulls.values()}
        named |= {f"refs/tags/{tag}": commit for tag, commit in self.tags.items()}
        named |= {f"refs/heads/{branch}": commit for branch, commit in self.branches.items()}
        named |= self.commits | self.tags | self.branches
        if revision in named:
            return named[revision]
        begun = [commit for identity, commit in self.commits.items() if identity.startswith(revision)]
        if len(revision) >= 7 and len(begun) == 1:
            return begun[0]
        raise HubError(404, "RevisionNotFound", f"Invalid rev id: {revision}")

    def commit(self, revision: str, files: Mapping[str, Blob], title: str, message: str = "") -> Commit:
        """Put a snapshot of all files on a branch or a pull request."""
        number = revision.removeprefix("refs/pr/")
        pull = self.pulls.get(int(number)) if number.isdecimal() and number != revision else None
        branch = revision.removeprefix("refs/heads/")
        if pull is None and branch not in self.branches:
            raise HubError(404, "RevisionNotFound", f"Invalid rev id: {revision}: commits go to branches")
        commit = self._record(self.resolve(revision), files, title, message)
        if pull is not None:
            pull.head = commit
        else:
            self.branches[branch] = commit
        return commit

    def open_pull(self, title: str) -> Pull:
        """A pull request that starts at `main`."""
        pull = Pull(len(self.pulls) + 1, title, self.branches["main"])
        self.pulls[pull.number] = pull
        return pull


class Store:
    """All repositories and uploaded LFS content. Hold `lock` to change them, or to read more than one thing."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.repositories: dict[str, Repository] = {}
        self.uploads: dict[str, bytes] = {}  # LFS content by sha256, whatever repository it is for

    def create(self, repo_id: str, *, private: bool = False) -> Repository:
        repository = Repository(repo_id, private=private)
        self.repositories[repo_id] = repository
        return repository
