"""Routes about files: what a commit holds, downloading, uploading, committing."""

import base64
import hashlib
import json
import re
from urllib.parse import parse_qs

from tests.hub_server.answer import Answer, Call, as_json
from tests.hub_server.repositories import require_access
from tests.hub_server.store import Blob, Commit, HubError, Repository, git_sha1, is_lfs


def _entry(path: str, commit: Commit) -> dict:
    """Return the entry of a file or a folder in listings."""
    blob = commit.files.get(path)
    if blob is None:
        return {"type": "directory", "oid": git_sha1(path.encode()), "size": 0, "path": path}
    entry = {"type": "file", "oid": blob.oid, "size": len(blob.content), "path": path}
    return entry | {"lfs": blob.lfs_entry} if blob.lfs else entry


def _paths(commit: Commit) -> list[str]:
    """All files and folders."""
    parts = [path.split("/") for path in commit.files]
    return sorted({"/".join(names[: depth + 1]) for names in parts for depth in range(len(names))})


def tree(call: Call) -> Answer:
    commit = call.repository().resolve(call.names["revision"])
    folder = call.names.get("path", "")
    paths = _paths(commit)
    if folder and (folder not in paths or folder in commit.files):
        raise HubError(404, "EntryNotFound", f"{folder} does not exist on {call.names['revision']}")
    inside = [path for path in paths if path.startswith(f"{folder}/" if folder else "")]
    if not call.request.flag("recursive"):
        inside = [path for path in inside if "/" not in path.removeprefix(folder).lstrip("/")]
    return as_json([_entry(path, commit) for path in inside])


def paths_info(call: Call) -> Answer:
    commit = call.repository().resolve(call.names["revision"])
    wanted = parse_qs(call.request.body.decode()).get("paths", [])
    return as_json([_entry(path, commit) for path in wanted if path in _paths(commit)])


def commits(call: Call) -> Answer:
    history = call.repository().resolve(call.names["revision"]).history()
    author = [{"user": call.user}]
    return as_json(
        [
            {"id": old.id, "title": old.title, "message": old.message, "date": old.date, "authors": author}
            for old in history
        ]
    )


def resolve(call: Call) -> Answer:
    """A file's content, all or a range of bytes, with the headers of which the client makes its cache."""
    repository, path = call.repository(), call.names["path"]
    require_access(call, repository)
    commit = repository.resolve(call.names["revision"])
    snapshot = {"X-Repo-Commit": commit.id}
    blob = commit.files.get(path)
    if blob is None:
        raise HubError(404, "EntryNotFound", f"Entry not found: {path}", snapshot)
    headers = {
        **snapshot,
        "ETag": f'"{blob.etag}"',
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
    }
    if blob.lfs:
        headers |= {"X-Linked-Size": str(len(blob.content)), "X-Linked-ETag": f'"{blob.sha256}"'}
    return _range(blob.content, headers, call.request.headers.get("range"))


def _range(content: bytes, headers: dict[str, str], wanted: str | None) -> Answer:
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted or "")
    if asked is None or asked[0] == "bytes=-":
        return Answer(200, content, headers)
    size = len(content)
    if asked[1]:
        start, stop = int(asked[1]), min(int(asked[2]) + 1 if asked[2] else size, size)
    else:
        start, stop = max(size - int(asked[2]), 0), size
    if start >= stop:
        raise HubError(416, None, f"No such range: {wanted}", {"Content-Range": f"bytes */{size}"})
    return Answer(206, content[start:stop], headers | {"Content-Range": f"bytes {start}-{stop - 1}/{size}"})


def preupload(call: Call) -> Answer:
    """For each file: git or LFS, and what is there already."""
    repository = call.repository(write=True)
    commit = repository.resolve(call.names["revision"])
    described = []
    for file in call.request.json()["files"]:
        there = commit.files.get(file["path"])
        mode = "lfs" if is_lfs(file["path"], file["size"]) else "regular"
        oid = there.etag if there else None
        described.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
    return as_json({"files": described})


def lfs_batch(call: Call) -> Answer:
    """Where to put LFS content that the Hub does not have yet."""
    repository = call.repository(write=True)
    upload = {"verify": {"href": f"{call.endpoint}/{repository.id}.git/info/lfs/objects/verify"}}
    objects = []
    for wanted in call.request.json()["objects"]:
        known = {"oid": wanted["oid"], "size": wanted["size"]}
        missing = {"actions": {"upload": {"href": f"{call.endpoint}/lfs/{wanted['oid']}"}, **upload}}
        objects.append(known if wanted["oid"] in call.store.uploads else known | missing)
    return as_json({"transfer": "basic", "objects": objects})


def lfs_put(call: Call) -> Answer:
    """Content under its hash. As with the Hub's signed addresses, no token is needed and the client sends none."""
    found = hashlib.sha256(call.request.body).hexdigest()
    if found != call.names["oid"]:
        raise HubError(400, None, f"BadDigest: {call.names['oid']} was announced, {found} came")
    call.store.uploads[found] = call.request.body
    return Answer()


def lfs_verify(call: Call) -> Answer:
    call.repository(write=True)
    wanted = call.request.json()
    content = call.store.uploads.get(wanted["oid"])
    if content is None or len(content) != wanted["size"]:
        raise HubError(404, None, f"No LFS object {wanted['oid']} of {wanted['size']} bytes")
    return as_json({})


def commit(call: Call) -> Answer:
    """A new snapshot, from lines of JSON: a header, then what to add and what to delete."""
    repository = call.repository(write=True)
    lines = [json.loads(line) for line in call.request.body.splitlines()]
    header = next(line["value"] for line in lines if line["key"] == "header")
    before = repository.resolve(call.names["revision"])
    if header.get("parentCommit") not in (None, before.id):
        raise HubError(412, None, "A commit has happened since. Please refresh and try again.")
    files = dict(before.files)
    for line in lines:
        _change(files, line["key"], line["value"], call.store.uploads)
    return _place(call, repository, files, header)


def _change(files: dict[str, Blob], key: str, value: dict, uploads: dict[str, bytes]) -> None:
    path = value.get("path", "").rstrip("/")
    if key == "file":
        files[path] = Blob(base64.b64decode(value["content"]), lfs=False)
    elif key == "lfsFile":
        if value["oid"] not in uploads:
            raise HubError(400, None, f"{path} points to LFS content that was never uploaded: {value['oid']}")
        files[path] = Blob(uploads[value["oid"]], lfs=True)
    elif key in ("deletedFile", "deletedFolder"):
        gone = [name for name in files if name == path or (key == "deletedFolder" and name.startswith(f"{path}/"))]
        if not gone:
            raise HubError(404, "EntryNotFound", f"A file with this name doesn't exist: {path}")
        for name in gone:
            del files[name]
    elif key != "header":
        raise HubError(400, None, f"Unknown operation: {key}")


def _place(call: Call, repository: Repository, files: dict[str, Blob], header: dict) -> Answer:
    revision, pull = call.names["revision"], None
    if call.request.flag("create_pr"):
        pull = repository.open_pull(header["summary"])
        revision = f"refs/pr/{pull.number}"
    made = repository.commit(revision, files, header["summary"], header.get("description", ""))
    url = f"{call.endpoint}/{repository.id}"
    said = {"success": True, "commitOid": made.id, "commitUrl": f"{url}/commit/{made.id}"}
    return as_json(said | ({"pullRequestUrl": f"{url}/discussions/{pull.number}"} if pull else {}))
