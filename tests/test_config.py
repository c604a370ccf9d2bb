from contextlib import suppress
from typing import Literal

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from sslhsic_transfer._config import apply_overrides, read_yaml
from sslhsic_transfer.errors import ConfigError


class Section(BaseModel):
    name: str = "a"


class Settings(BaseModel):
    split: str = Field(default="train", min_length=1)
    file: str | None = None
    names: tuple[str, ...] = ()
    count: int = 1
    rate: float = 1.0
    flag: bool = False
    kind: Literal["a", "b"] = "a"
    section: Section = Section()


def of(*overrides):
    return apply_overrides(Settings, Settings().model_dump(mode="json"), overrides, source="Settings")


@pytest.mark.parametrize(
    "text",
    [
        "2007",
        "007",
        "0",
        "1e3",
        "1_000",
        "0x1F",
        "yes",
        "true",
        "no",
        "null",
        "~",
        "nan",
        "inf",
        "2012-05-01",
        "12:30",
        "1.50",
        "2012-13-45",
        "0b_",
        "1" * 5000,
    ],
)
def test_text_that_yaml_reads_as_something_else_stays_as_it_was_written(text):
    assert of(f"split={text}").split == text
    assert of(f'split="{text}"').split == of(f"split='{text}'").split == text
    assert of(f"section.name={text}").section.name == text
    assert of(f"section={{name: {text}}}").section.name == text
    assert of(f"names=[a, {text}, b]").names == ("a", text, "b")
    assert of("split=1", f"split={text}").split == text


def test_the_last_override_counts():
    assert of("section.name=1", "section={name: 2}", "section.name=3").section.name == "3"
    assert of("section.name=1", "section={name: 2}").section.name == "2"
    assert of("section={name: 2}", "section.name=1").section.name == "1"


def test_other_settings_are_read_as_before():
    found = of("count=20", "rate=1e-3", "flag=yes", "file=null", "kind=b")
    assert (found.count, found.rate, found.flag, found.file, found.kind) == (20, 1e-3, True, None, "b")
    assert of("file=2007").file == "2007"
    assert of("file=").file is None


@pytest.mark.parametrize(
    ("override", "found"),
    [
        ("split=", "split: String should have at least 1 character"),
        ("split=[1, 2]", r"split: Input should be a valid string, got \[1, 2\]"),
        ("split={a: 1}", "split: Input should be a valid string"),
        ("names=7", "names: Input should be a valid tuple"),
        ("names=[[1]]", r"names\.0: Input should be a valid string, got \[1\]"),
        ("count=2012-13-45", "count: Input should be a valid integer"),
        ("count=" + "[" * 5000 + "]" * 5000, "is not YAML"),
        ("count=a", "count: Input should be a valid integer"),
        ("splt=2007", "splt: Extra inputs|no such setting"),
    ],
)
def test_what_is_no_text_either_is_refused(override, found):
    class Strict(Settings, extra="forbid"):
        pass

    with pytest.raises(ConfigError, match=found):
        apply_overrides(Strict, {}, [override], source="Settings")


@settings(max_examples=50, deadline=None)
@given(text=st.text(max_size=8))
def test_any_text_is_a_value_or_refused(text):
    for key in ("split", "count", "names", "section"):
        with suppress(ConfigError):
            of(f"{key}={text}")


@settings(max_examples=50, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cc", "Cs", "Z"], exclude_characters="\"'"), min_size=1))
def test_any_quoted_text_is_itself(text):
    quoted = yaml.safe_dump(text, default_style='"', allow_unicode=True, width=1000).strip()
    assert of(f"split={quoted}").split == text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_yaml_files_may_have_a_mark(tmp_path, encoding):
    (tmp_path / "a.yaml").write_bytes("split: prüfung\n".encode(encoding))
    assert read_yaml(tmp_path / "a.yaml") == {"split": "prüfung"}


@pytest.mark.parametrize("content", ["a: 2012-13-45\n", "a: " + "[" * 5000, "a: \0"])
def test_yaml_files_that_are_none_are_named(tmp_path, content):
    (tmp_path / "a.yaml").write_text(content)
    with pytest.raises(ConfigError, match=r"a\.yaml(, line 1 holds NUL| is not YAML)"):
        read_yaml(tmp_path / "a.yaml")


def test_yaml_files_in_other_encodings_are_named_with_the_line(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"count: 1\nsplit: pr\xfcfung\n")
    with pytest.raises(ConfigError, match=r"a\.yaml, line 2 is not UTF-8 .* 'split: prüfung'"):
        read_yaml(tmp_path / "a.yaml")
