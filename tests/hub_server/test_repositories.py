"""Repositories, branches, tags, pull requests and who may see them, through huggingface_hub."""

import pytest
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

CARD = b"---\nlicense: apache-2.0\nlibrary_name: timm\ntags: [hsic]\n---\n# A model\n"
STRANGER = False  # the client's way to say: send no token


@pytest.fixture
def api(hub) -> HfApi:
    return HfApi()


def status(error: pytest.ExceptionInfo) -> int:
    return error.value.response.status_code


def test_whoami_knows_the_tokens_and_refuses_others(api, hub):
    assert api.whoami()["name"] == hub.user
    assert api.whoami(token=hub.read_token)["auth"]["accessToken"]["role"] == "read"
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        api.whoami(token="hf_forged")


def test_a_repository_is_made_once_and_deleted(api, hub):
    url = api.create_repo("me/model")
    assert (url.repo_id, str(url)) == ("me/model", f"{hub.endpoint}/me/model")
    assert api.list_repo_files("me/model") == [".gitattributes"]
    with pytest.raises(HfHubHTTPError) as error:
        api.create_repo("me/model")
    assert status(error) == 409
    assert api.create_repo("me/model", exist_ok=True).repo_id == "me/model"
    api.delete_repo("me/model")
    assert not api.repo_exists("me/model")
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo("me/model")
    api.delete_repo("me/model", missing_ok=True)


def test_a_name_without_owner_is_the_users(api, hub):
    assert api.create_repo("model").repo_id == f"{hub.user}/model"


def test_only_a_write_token_changes_anything(api, hub):
    hub.add("me/model", {"a.txt": b"a"})
    operations = [CommitOperationAdd("b.txt", b"b")]
    for change in (
        lambda token: api.create_repo("me/other", token=token),
        lambda token: api.delete_repo("me/model", token=token),
        lambda token: api.create_tag("me/model", tag="v1", token=token),
        lambda token: api.create_commit("me/model", operations, commit_message="b", token=token),
    ):
        with pytest.raises(HfHubHTTPError) as error:
            change(hub.read_token)
        assert status(error) == 403
        with pytest.raises(HfHubHTTPError) as error:
            change(STRANGER)
        assert status(error) == 401
    assert hub.files("me/model") == {"a.txt": b"a"}
    assert not hub.tags("me/model")
    assert list(hub.store.repositories) == ["me/model"]


def test_a_private_repository_is_not_there_for_strangers(api, hub):
    api.create_repo("me/secret", private=True)
    assert api.model_info("me/secret").private
    assert api.model_info("me/secret", token=hub.read_token).private
    with pytest.raises(RepositoryNotFoundError) as hidden:
        api.model_info("me/secret", token=STRANGER)
    with pytest.raises(RepositoryNotFoundError) as missing:
        api.model_info("me/none", token=STRANGER)
    assert status(hidden) == status(missing) == 401
    with pytest.raises(RepositoryNotFoundError) as missing:
        api.model_info("me/none")
    assert status(missing) == 404
    assert [model.id for model in api.list_models(author="me", token=STRANGER)] == []


def test_an_invalid_token_is_refused_even_where_none_is_needed(api, hub):
    hub.add("me/model", {"a.txt": b"a"})
    with pytest.raises(HfHubHTTPError, match="Invalid credentials") as error:
        api.model_info("me/model", token="hf_forged")
    assert status(error) == 401
    assert not isinstance(error.value, RepositoryNotFoundError)


def test_a_gated_repository_shows_what_it_is_but_gives_no_files(api, hub):
    hub.add("me/model", {"a.txt": b"a"})
    hub.gate("me/model")
    assert api.model_info("me/model").gated
    with pytest.raises(GatedRepoError) as error:
        api.auth_check("me/model")
    assert status(error) == 403
    with pytest.raises(GatedRepoError):
        api.hf_hub_download("me/model", "a.txt")
    hub.gate("me/model", False)
    api.auth_check("me/model")


def test_model_info_tells_the_card_the_commit_and_the_files(api, hub):
    first = hub.add("me/model", {"README.md": CARD, "model.safetensors": b"w" * 100})
    second = hub.add("me/model", {"x.txt": b"x"})
    info = api.model_info("me/model", files_metadata=True)
    assert (info.id, info.sha, info.private, info.library_name) == ("me/model", second, False, "timm")
    assert info.card_data.license == "apache-2.0"
    assert set(info.tags) == {"hsic", "timm", "license:apache-2.0"}
    siblings = {sibling.rfilename: sibling for sibling in info.siblings}
    assert siblings["model.safetensors"].lfs.size == siblings["model.safetensors"].size == 100
    assert siblings["x.txt"].lfs is None
    assert api.model_info("me/model", revision=first).sha == first
    with pytest.raises(RevisionNotFoundError):
        api.model_info("me/model", revision="v9")


def test_models_are_listed_by_author_name_and_tag(api, hub):
    for repo_id in ("me/resnet50-hsic", "me/other", "you/resnet50-hsic"):
        hub.add(repo_id, {"README.md": CARD} if "hsic" in repo_id else {})
    assert [model.id for model in api.list_models(author="me")] == ["me/resnet50-hsic", "me/other"]
    assert [model.id for model in api.list_models(search="HSIC", author="you")] == ["you/resnet50-hsic"]
    assert [model.id for model in api.list_models(filter="hsic", limit=1)] == ["me/resnet50-hsic"]


def test_tags_point_at_commits_and_are_not_moved(api, hub):
    first = hub.add("me/model", {"a.txt": b"1"})
    second = hub.add("me/model", {"a.txt": b"2"})
    api.create_tag("me/model", tag="v1", revision=first)
    api.create_tag("me/model", tag="v2.0/final")
    assert hub.tags("me/model") == {"v1": first, "v2.0/final": second}
    with pytest.raises(HfHubHTTPError) as error:
        api.create_tag("me/model", tag="v1")
    assert status(error) == 409
    api.create_tag("me/model", tag="v1", exist_ok=True)
    assert hub.tags("me/model")["v1"] == first
    with pytest.raises(RevisionNotFoundError):
        api.create_tag("me/model", tag="v3", revision="nowhere")
    api.delete_tag("me/model", tag="v2.0/final")
    with pytest.raises(RevisionNotFoundError):
        api.delete_tag("me/model", tag="v2.0/final")


def test_branches_go_their_own_way(api, hub):
    first = hub.add("me/model", {"a.txt": b"1"})
    api.create_branch("me/model", branch="dev/x")
    with pytest.raises(HfHubHTTPError) as error:
        api.create_branch("me/model", branch="dev/x")
    assert status(error) == 409
    operations = [CommitOperationAdd("b.txt", b"b")]
    made = api.create_commit("me/model", operations, commit_message="b", revision="dev/x")
    refs = api.list_repo_refs("me/model")
    assert {ref.name: ref.target_commit for ref in refs.branches} == {"main": first, "dev/x": made.oid}
    assert hub.files("me/model", "dev/x") == {"a.txt": b"1", "b.txt": b"b"}
    assert hub.files("me/model") == {"a.txt": b"1"}
    api.delete_branch("me/model", branch="dev/x")
    assert [ref.name for ref in api.list_repo_refs("me/model").branches] == ["main"]
    with pytest.raises(HfHubHTTPError) as error:
        api.delete_branch("me/model", branch="main")
    assert status(error) == 403


def test_a_pull_request_is_a_revision_until_it_is_merged(api, hub):
    before = hub.add("me/model", {"a.txt": b"1"})
    made = api.create_commit("me/model", [CommitOperationAdd("b.txt", b"b")], commit_message="Add b", create_pr=True)
    assert (made.pr_num, made.pr_revision) == (1, "refs/pr/1")
    assert made.pr_url == f"{hub.endpoint}/me/model/discussions/1"
    assert api.model_info("me/model").sha == before
    assert api.model_info("me/model", revision="refs/pr/1").sha == made.oid
    (ref,) = api.list_repo_refs("me/model", include_pull_requests=True).pull_requests
    assert (ref.ref, ref.target_commit) == ("refs/pr/1", made.oid)
    api.merge_pull_request("me/model", 1)
    assert api.get_discussion_details("me/model", 1).status == "merged"
    assert hub.files("me/model") == {"a.txt": b"1", "b.txt": b"b"}


def test_an_empty_pull_request_takes_commits(api, hub):
    hub.add("me/model", {"a.txt": b"1"})
    pull = api.create_pull_request("me/model", title="More")
    assert (pull.num, pull.status, pull.git_reference) == (1, "open", "refs/pr/1")
    api.create_commit("me/model", [CommitOperationAdd("b.txt", b"b")], commit_message="b", revision="refs/pr/1")
    assert hub.files("me/model", "refs/pr/1") == {"a.txt": b"1", "b.txt": b"b"}
    assert hub.files("me/model") == {"a.txt": b"1"}


def test_what_is_not_served_says_so(api):
    with pytest.raises(HfHubHTTPError, match="hub_server does not serve GET /api/datasets/me/data"):
        api.dataset_info("me/data")
