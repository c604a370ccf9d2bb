"""A request as the Hub reads it, and the answer to it, before they are bytes on a socket."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from tests.hub_server.store import HubError, Repository, Store


@dataclass(frozen=True)
class Answer:
    """Status, body and headers of an answer."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def as_json(value: object, status: int = 200) -> Answer:
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json; charset=utf-8"})


def as_error(error: HubError) -> Answer:
    """Make the answer that the client turns into one of its error classes."""
    answer = as_json({"error": error.message}, error.status)
    headers = {**answer.headers, "X-Error-Message": error.message, **error.headers}
    return Answer(answer.status, answer.body, headers | ({"X-Error-Code": error.code} if error.code else {}))


@dataclass
class Request:
    """One line of the log: `path` unquoted, names of headers in small letters, `status` 0 until there is an answer."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes = field(repr=False)
    status: int = 0

    @property
    def token(self) -> str | None:
        return self.headers.get("authorization", "").removeprefix("Bearer ") or None

    @property
    def has_token(self) -> bool:
        return self.token is not None

    def option(self, name: str) -> str | None:
        """Return a value of the query."""
        return parse_qs(self.query).get(name, [None])[0]

    def flag(self, name: str) -> bool:
        return str(self.option(name)).lower() in ("1", "true")

    def json(self) -> dict:
        return json.loads(self.body or b"{}")


@dataclass(frozen=True)
class Call:
    """A request that found its route: `names` are the parts of the path that the route leaves open."""

    request: Request
    names: Mapping[str, str]
    store: Store
    endpoint: str
    user: str
    may_write: bool

    def repository(self, *, write: bool = False) -> Repository:
        """The repository that the path names, if the caller may see it and, on demand, change it."""
        repo_id = self.names["repo"]
        repository = self.store.repositories.get(repo_id)
        anonymous = not self.request.has_token
        if repository is None or (repository.private and anonymous):
            raise missing_repository(repo_id, anonymous=anonymous)
        if write:
            self.require_write()
        return repository

    def require_write(self) -> None:
        if not self.request.has_token:
            raise HubError(401, "RepoNotFound" if "repo" in self.names else None, "Invalid username or password.")
        if not self.may_write:
            raise HubError(403, None, "Forbidden: you must use a write token to change a repository.")


def missing_repository(repo_id: str, *, anonymous: bool) -> HubError:
    """The Hub does not tell strangers whether a repository is private or not there at all."""
    if anonymous:
        return HubError(401, "RepoNotFound", "Invalid username or password.")
    return HubError(404, "RepoNotFound", f"Repository not found: {repo_id}")
