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


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://huggingface.co/org/name", "org/name"),
        ("https://huggingface.co/org/name/", "org/name"),
        ("http://www.huggingface.co/org/na.me-2", "org/na.me-2"),
        ("https://hf.co/org/name", "org/name"),
        ("huggingface.co/org/name", "org/name"),
        ("hf.co/org/name/tree/main", "org/name"),
        ("https://huggingface.co/org/name/tree/main/", "org/name"),
        ("https://huggingface.co/org/name/tree/v2", "org/name@v2"),
        ("https://huggingface.co/org/name/blob/v1.0/model.safetensors", "org/name@v1.0"),
        ("https://huggingface.co/org/name/resolve/refs%2Fpr%2F3/config.json?download=true", "org/name@refs/pr/3"),
        ("https://huggingface.co/org/name/discussions/3", "org/name"),
        ("https://huggingface.co/org/name.git", "org/name"),
        ("https://huggingface.co/org/name#how-to-use", "org/name"),
        ("HTTPS://HuggingFace.co/Org/Name", "Org/Name"),
        ("hf://org/name", "org/name"),
        ("hf://models/org/name", "org/name"),
        ("hf://org/name@v2", "org/name@v2"),
        ("hf-hub://org/name", "org/name"),
        (Path("https://huggingface.co/org/name"), "org/name"),
        (Path("hf://org/name"), "org/name"),
    ],
)
def test_an_address_on_the_hub_names_the_repository_to_write(address, name):
    with pytest.raises(ConfigError) as caught:
        parse_name(address)
    assert str(caught.value).endswith(f"A repository on the Hub is named ORG/NAME: write {name}")
    parse_name(name)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("https://huggingface.co/datasets/org/name", "leads to one of the Hub's datasets, not to a model"),
        ("hf://spaces/org/name", "leads to one of the Hub's spaces"),
        ("https://huggingface.co/gpt2", "Expected a model folder"),
        ("https://example.org/model.safetensors", "is an address, not a model's name. Expected a model folder"),
        ("s3://bucket/model", "Expected a model folder"),
        ("https://", "Expected a model folder"),
        ("https://" + "a" * 100_000, "is an address"),
    ],
)
def test_other_addresses(address, words):
    with pytest.raises(ConfigError, match=words):
        parse_name(address)


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
