import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.hub.names import HubName, ShortName, parse_name


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("./model", Path("model")),
        ("../model", Path("../model")),
        ("/abs/model", Path("/abs/model")),
        ("RUN/model/", Path("RUN/model")),
        ("runs/demo/model", Path("runs/demo/model")),
        ("local-dir:RUN/model", Path("RUN/model")),
        ("some/file.safetensors", Path("some/file.safetensors")),
        (Path("org/repo"), Path("org/repo")),
        ("C:/model", Path("C:/model")),
        ("org/repo", HubName("org/repo")),
        ("org/repo@v1.0", HubName("org/repo", "v1.0")),
        ("org/repo@refs/pr/3", HubName("org/repo", "refs/pr/3")),
        ("hf-hub:org/repo@main", HubName("org/repo", "main")),
        ("hf_hub:org/repo", HubName("org/repo")),
        ("sslhsic-r50", ShortName("sslhsic-r50")),
        ("sslhsic-r50@v2", ShortName("sslhsic-r50", "v2")),
    ],
)
def test_what_a_name_means_follows_from_its_form(text, meaning):
    assert parse_name(text) == meaning


def test_a_home_folder_is_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert parse_name("~/model") == Path("/home/somebody/model")


@pytest.mark.parametrize("name", [None, 18, b"sslhsic-r18", ["sslhsic-r18"]])
def test_what_is_neither_text_nor_a_path_is_refused(name):
    with pytest.raises(ConfigError, match=f"Got a {type(name).__name__} as a model's name. Expected a model folder"):
        parse_name(name)


def test_a_home_folder_of_nobody():
    with pytest.raises(ConfigError, match="not known here"):
        parse_name("~nobody-of-that-name/model")


def test_the_revision_may_stand_apart():
    assert parse_name("org/repo", "v1") == parse_name("org/repo@v1") == parse_name("org/repo@v1", "v1")
    assert parse_name("sslhsic-r50", "v1") == ShortName("sslhsic-r50", "v1")
    with pytest.raises(ConfigError, match="give one"):
        parse_name("org/repo@v1", "v2")
    with pytest.raises(ConfigError, match="only repositories have revisions"):
        parse_name("./model", "v1")


@pytest.mark.parametrize(
    "text",
    [
        "hf-hub:../../etc",
        "hf-hub:org/..",
        "hf-hub:repo",
        "hf-hub:a/b/c",
        "org/.hidden",
        "org/a..b",
        "org/a--b",
        "org/repo.git",
        "org/re po",
        "org/" + "x" * 97,
        "name with spaces",
        "na\nme",
        "",
        "@v1",
    ],
)
def test_what_is_no_name_is_refused(text):
    with pytest.raises(ConfigError, match=r"not a (model's|repository's) name"):
        parse_name(text)


@pytest.mark.parametrize(
    "revision", ["../../x", "a/../../b", "/etc", "v1/", "a b", "-rf", ".git", "a//b", "x" * 256, ""]
)
def test_a_revision_cannot_leave_the_cache(revision):
    with pytest.raises(ConfigError, match="not a revision"):
        parse_name("org/repo", revision)


PARTS = st.text(string.ascii_letters + string.digits + "-_.@/\\~: \n\0", max_size=40)


@given(PARTS, st.none() | PARTS)
def test_whatever_is_typed_is_understood_or_refused(text, revision):
    try:
        name = parse_name(text, revision)
    except ConfigError:
        return
    if isinstance(name, HubName):
        assert name.repo_id.count("/") == 1
        assert ".." not in name.repo_id + (name.revision or "")
        assert parse_name(str(name)) == name
    elif isinstance(name, ShortName):
        assert "/" not in name.name
    else:
        assert revision is None
