"""Commits and uploads, through huggingface_hub."""

import hashlib

import httpx2
import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError, RemoteEntryNotFoundError, RevisionNotFoundError

WEIGHTS = bytes(range(256)) * 40


@pytest.fixture
def api(hub) -> HfApi:
    hub.add("me/model", {"old.txt": b"old", "logs/1.txt": b"1", "logs/2.txt": b"2"})
    return HfApi()


def commit(api: HfApi, *operations: object, **options: object):
    return api.create_commit("me/model", list(operations), commit_message="Change", **options)


def test_a_folder_goes_up_with_large_files_apart(api, hub, tmp_path):
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "config.json").write_bytes(b"{}")
    (folder / "sub" / "ü b.txt").write_bytes(b"text")
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    made = api.upload_folder(repo_id="me/model", folder_path=folder, commit_message="Publish", delete_patterns="logs/*")
    uploaded = {"config.json": b"{}", "sub/ü b.txt": b"text", "model.safetensors": WEIGHTS}
    assert hub.files("me/model") == {"old.txt": b"old", **uploaded}
    assert hub.commits("me/model")[0].id == made.oid
    assert hub.commits("me/model")[0].title == "Publish"
    entries = {entry.path: entry for entry in api.list_repo_tree("me/model", recursive=True)}
    assert entries["model.safetensors"].lfs.sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    assert entries["config.json"].lfs is None
    assert entries["config.json"].blob_id == hashlib.sha1(b"blob 2\0{}").hexdigest()
    assert [request.path for request in hub.asked("/lfs/", "PUT")] == [f"/lfs/{hashlib.sha256(WEIGHTS).hexdigest()}"]


def test_the_token_reaches_every_request_but_the_signed_upload(api, hub):
    commit(api, CommitOperationAdd("model.safetensors", WEIGHTS))
    assert {r.method for r in hub.requests if not r.has_token} == {"PUT"}
    assert {r.token for r in hub.requests if r.has_token} == {hub.token}


def test_known_content_is_not_sent_again_and_unchanged_files_make_no_commit(api, hub):
    first = commit(api, CommitOperationAdd("a.safetensors", WEIGHTS))
    second = commit(api, CommitOperationAdd("b.safetensors", WEIGHTS), CommitOperationAdd("old.txt", b"old"))
    assert len(hub.asked("/lfs/", "PUT")) == 1
    again = commit(api, CommitOperationAdd("b.safetensors", WEIGHTS), CommitOperationAdd("old.txt", b"old"))
    assert first.oid != second.oid == again.oid
    assert [made.id for made in hub.commits("me/model")][:2] == [second.oid, first.oid]


def test_an_empty_file_is_a_regular_one(api, hub):
    commit(api, CommitOperationAdd("empty.safetensors", b""))
    assert hub.files("me/model")["empty.safetensors"] == b""


def test_files_and_folders_are_deleted_and_copied(api, hub):
    commit(
        api,
        CommitOperationCopy("old.txt", "new.txt"),
        CommitOperationDelete("old.txt"),
        CommitOperationDelete("logs/", is_folder=True),
    )
    assert hub.files("me/model") == {"new.txt": b"old"}
    with pytest.raises(RemoteEntryNotFoundError):
        commit(api, CommitOperationDelete("old.txt"))


def test_earlier_commits_do_not_change(api, hub):
    before = api.model_info("me/model").sha
    after = commit(api, CommitOperationAdd("old.txt", b"new")).oid
    assert hub.files("me/model", before)["old.txt"] == b"old"
    assert hub.files("me/model", after)["old.txt"] == b"new"
    commits = api.list_repo_commits("me/model")
    assert [made.title for made in commits] == ["Change", "Add files", "initial commit"]
    assert [made.commit_id for made in commits][:2] == [after, before]
    assert all(len(made.commit_id) == 40 for made in commits)


def test_a_commit_on_a_stale_parent_is_refused(api, hub):
    parent = api.model_info("me/model").sha
    commit(api, CommitOperationAdd("a.txt", b"a"), parent_commit=parent)
    with pytest.raises(HfHubHTTPError, match="A commit has happened since") as error:
        commit(api, CommitOperationAdd("b.txt", b"b"), parent_commit=parent)
    assert error.value.response.status_code == 412
    assert "b.txt" not in hub.files("me/model")


def test_commits_go_to_branches_only(api, hub):
    api.create_tag("me/model", tag="v1")
    for revision in ("v1", "no-such-branch"):
        with pytest.raises(RevisionNotFoundError):
            commit(api, CommitOperationAdd("a.txt", b"a"), revision=revision)


def test_folders_are_listed_one_level_or_all(api):
    def names(**options) -> list[str]:
        return [entry.path for entry in api.list_repo_tree("me/model", **options)]

    assert names() == [".gitattributes", "logs", "old.txt"]
    assert names(path_in_repo="logs") == ["logs/1.txt", "logs/2.txt"]
    assert names(recursive=True) == [".gitattributes", "logs", "logs/1.txt", "logs/2.txt", "old.txt"]
    with pytest.raises(RemoteEntryNotFoundError):
        names(path_in_repo="nowhere")
    found = api.get_paths_info("me/model", ["logs", "old.txt", "nowhere"])
    assert [(type(entry).__name__, entry.path) for entry in found] == [("RepoFolder", "logs"), ("RepoFile", "old.txt")]


def test_a_card_with_broken_metadata_is_refused_before_anything_is_sent(api, hub):
    for card, problem in (
        ("---\nlicense: [mit\n---\n", "YAML Metadata Error"),
        ("---\nlicense: 3\n---\n", '"license" must be a string'),
        ("---\nmodel-index:\n- results: []\n---\n", r'"model-index\[0\].name" is required'),
    ):
        with pytest.raises(ValueError, match=problem):
            commit(api, CommitOperationAdd("README.md", card.encode()))
    assert not hub.asked("/preupload/")
    commit(api, CommitOperationAdd("README.md", b"---\nlicense: mit\n---\n# Model\n"))


def test_a_card_without_metadata_is_warned_about(api):
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        commit(api, CommitOperationAdd("README.md", b"# Model\n"))


def test_lfs_content_must_be_what_was_announced(api, hub):
    oid = hashlib.sha256(WEIGHTS).hexdigest()
    answer = httpx2.put(f"{hub.endpoint}/lfs/{oid}", content=WEIGHTS[:-1] + b"!")
    assert (answer.status_code, oid in hub.store.uploads) == (400, False)
    headers = {"authorization": f"Bearer {hub.token}"}
    lines = '{"key": "header", "value": {"summary": "s"}}\n'
    lines += f'{{"key": "lfsFile", "value": {{"path": "a.bin", "algo": "sha256", "oid": "{oid}"}}}}\n'
    answer = httpx2.post(f"{hub.endpoint}/api/models/me/model/commit/main", content=lines, headers=headers)
    assert answer.status_code == 400
    assert "a.bin" not in hub.files("me/model")
