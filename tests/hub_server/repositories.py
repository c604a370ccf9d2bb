"""Routes about repositories: making and deleting them, what they are, their branches, tags and pull requests."""

from tests.hub_server import card
from tests.hub_server.answer import Answer, Call, as_json, missing_repository
from tests.hub_server.store import Blob, Commit, HubError, Pull, Repository


def whoami(call: Call) -> Answer:
    if not call.request.has_token:
        raise HubError(401, None, "Invalid username or password.")
    role = "write" if call.may_write else "read"
    token = {"type": "access_token", "accessToken": {"displayName": "test", "role": role}}
    return as_json({"type": "user", "id": "0", "name": call.user, "fullname": call.user, "orgs": [], "auth": token})


def agent_harnesses(call: Call) -> Answer:
    """The client asks for this list unless telemetry is off."""
    return as_json({"standardEnvVars": [], "harnesses": {}})


def validate_yaml(call: Call) -> Answer:
    errors, warnings = card.problems(call.request.json()["content"])
    found = {
        "errors": [{"message": message} for message in errors],
        "warnings": [{"message": message} for message in warnings],
    }
    return as_json(found, 400 if errors else 200)


def _named(call: Call) -> str:
    """The repository that the body of a request names."""
    wanted = call.request.json()
    if wanted.get("type") not in (None, "model"):
        raise HubError(501, None, f"hub_server keeps models only, not a {wanted['type']}")
    return f"{wanted.get('organization') or call.user}/{wanted['name']}"


def create(call: Call) -> Answer:
    call.require_write()
    repo_id = _named(call)
    url = f"{call.endpoint}/{repo_id}"
    if repo_id in call.store.repositories:
        return as_json({"error": f"You already created this model repo: {repo_id}", "url": url}, 409)
    call.store.create(repo_id, private=call.request.json().get("visibility") == "private")
    return as_json({"url": url, "name": repo_id, "id": repo_id})


def delete(call: Call) -> Answer:
    call.require_write()
    repo_id = _named(call)
    if call.store.repositories.pop(repo_id, None) is None:
        raise missing_repository(repo_id, anonymous=False)
    return Answer()


def require_access(call: Call, repository: Repository) -> None:
    """Refuse files of a gated repository to all but those who were let in, here nobody; all see that it exists."""
    if repository.gated:
        message = f"Access to model {repository.id} is restricted and you are not in the authorized list."
        raise HubError(403 if call.request.has_token else 401, "GatedRepo", message)


def auth_check(call: Call) -> Answer:
    require_access(call, call.repository())
    return as_json({})


def _sibling(path: str, blob: Blob, *, details: bool) -> dict:
    name = {"rfilename": path}
    return name | {"size": len(blob.content), "blobId": blob.oid, "lfs": blob.lfs_entry} if details else name


def _describe(repository: Repository, commit: Commit, *, files: bool = True, details: bool = False) -> dict:
    readme = commit.files.get("README.md")
    data = card.metadata(readme.content.decode()) if readme else {}
    described = {
        "id": repository.id,
        "modelId": repository.id,
        "author": repository.id.split("/")[0],
        "sha": commit.id,
        "createdAt": repository.created,
        "lastModified": commit.date,
        "private": repository.private,
        "gated": "auto" if repository.gated else False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": card.tags(data),
        "pipeline_tag": data.get("pipeline_tag"),
        "library_name": data.get("library_name"),
        "cardData": data or None,
    }
    if files:
        described["siblings"] = [_sibling(path, blob, details=details) for path, blob in sorted(commit.files.items())]
    return described


def info(call: Call) -> Answer:
    repository = call.repository()
    commit = repository.resolve(call.names.get("revision", "main"))
    return as_json(_describe(repository, commit, details=call.request.flag("blobs")))


def listing(call: Call) -> Answer:
    """All models that the caller may see: by author, by part of the name, by tag."""
    author, search, tag = (call.request.option(name) for name in ("author", "search", "filter"))
    found = []
    for repository in call.store.repositories.values():
        described = _describe(repository, repository.resolve("main"), files=call.request.flag("full"))
        wanted = author in (None, described["author"]) and (search or "").lower() in repository.id.lower()
        if wanted and (tag is None or tag in described["tags"]) and (call.request.has_token or not repository.private):
            found.append(described)
    limit = call.request.option("limit")
    return as_json(found[: int(limit)] if limit else found)


def refs(call: Call) -> Answer:
    repository = call.repository()

    def entries(kind: str, named: dict[str, Commit]) -> list[dict]:
        return [{"name": n, "ref": f"refs/{kind}/{n}", "targetCommit": commit.id} for n, commit in named.items()]

    heads = {str(pull.number): pull.head for pull in repository.pulls.values()}
    found = {"branches": entries("heads", repository.branches), "tags": entries("tags", repository.tags)}
    return as_json(found | {"converts": [], "pullRequests": entries("pr", heads)})


def create_branch(call: Call) -> Answer:
    repository, branch = call.repository(write=True), call.names["branch"]
    if branch in repository.branches:
        raise HubError(409, None, f"Reference already exists: refs/heads/{branch}")
    repository.branches[branch] = repository.resolve(call.request.json().get("startingPoint", "main"))
    return as_json({}, 201)


def delete_branch(call: Call) -> Answer:
    repository, branch = call.repository(write=True), call.names["branch"]
    if branch == "main":
        raise HubError(403, None, "The default branch is protected.")
    if repository.branches.pop(branch, None) is None:
        raise HubError(404, "RevisionNotFound", f"Reference does not exist: refs/heads/{branch}")
    return Answer()


def create_tag(call: Call) -> Answer:
    repository, tag = call.repository(write=True), call.request.json()["tag"]
    commit = repository.resolve(call.names["revision"])
    if tag in repository.tags:
        raise HubError(409, None, f"Tag reference exists already: refs/tags/{tag}")
    repository.tags[tag] = commit
    return as_json({}, 201)


def delete_tag(call: Call) -> Answer:
    repository, tag = call.repository(write=True), call.names["tag"]
    if repository.tags.pop(tag, None) is None:
        raise HubError(404, "RevisionNotFound", f"Reference does not exist: refs/tags/{tag}")
    return Answer()


def open_pull(call: Call) -> Answer:
    repository, wanted = call.repository(write=True), call.request.json()
    if not wanted["pullRequest"]:
        raise HubError(501, None, "hub_server keeps pull requests, not discussions")
    return as_json({"num": repository.open_pull(wanted["title"]).number}, 201)


def _pull(call: Call, *, write: bool = False) -> tuple[Repository, Pull]:
    repository, number = call.repository(write=write), call.names["number"]
    pull = repository.pulls.get(int(number)) if number.isdecimal() else None
    if pull is None:
        raise HubError(404, None, f"No discussion {number}")
    return repository, pull


def pull_details(call: Call) -> Answer:
    repository, pull = _pull(call)
    described = {
        "num": pull.number,
        "title": pull.title,
        "author": {"name": call.user},
        "createdAt": pull.created,
        "status": pull.status,
        "repo": {"name": repository.id, "type": "model"},
        "isPullRequest": True,
        "events": [],
        "changes": {"base": "refs/heads/main"},
        "filesWithConflicts": [],
    }
    return as_json(described)


def merge_pull(call: Call) -> Answer:
    """Put a pull request's files on `main`, over what is there."""
    repository, pull = _pull(call, write=True)
    main = repository.branches["main"]
    repository.commit("main", {**main.files, **pull.head.files}, pull.title)
    pull.status = "merged"
    return as_json({})
