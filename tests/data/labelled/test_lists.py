import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslhsic_transfer.data.labelled.files import find_files
from sslhsic_transfer.data.labelled.lists import read_pairs
from sslhsic_transfer.errors import DataError

# Names of files as they may be, without what separates them in lists.
NAMES = st.text("abcäö01 ._-()#'", min_size=1, max_size=8).map(lambda text: f"{text}x".strip())


def files(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def pairs_of(root, text):
    (root / "train.txt").write_text(text)
    pairs, left_out = read_pairs(root / "train.txt", root)
    return [tuple(path.relative_to(root).as_posix() for path in pair) for pair in pairs], left_out


@pytest.mark.parametrize(
    "line",
    [
        "a/p.png b/p.png",
        "  a/p.png\t b/p.png  ",
        "a/p.png,b/p.png",
        "a/p.png, b/p.png, 518.8579",
        "a/p.png;b/p.png",
        '"a/p.png","b/p.png"',
        '"a/p.png" "b/p.png"',
        "a\\p.png b\\p.png",
        "./a/p.png ./b/p.png",
        "/a/p.png /b/p.png 518.8579",
        "/SegNet/CamVid/a/p.png /SegNet/CamVid/b/p.png",
        "C:\\data\\CamVid\\a\\p.png C:\\data\\CamVid\\b\\p.png",
        "CamVid/a/p.png CamVid/b/p.png",
        "/x/a/p.png b/p.png",
    ],
)
def test_pairs_are_found_however_they_are_written(tmp_path, line):
    files(tmp_path, "a/p.png", "b/p.png")
    assert pairs_of(tmp_path, f"{line}\n") == ([("a/p.png", "b/p.png")], 0)


@pytest.mark.parametrize(
    "line", ["a/my pic.png\tb/my  map.png", "a/my pic.png b/my  map.png 518.8", "a/my pic.png,b/my  map.png"]
)
def test_names_may_hold_blanks(tmp_path, line):
    files(tmp_path, "a/my pic.png", "b/my  map.png", "a/p.png", "b/p.png")
    expected = [("a/my pic.png", "b/my  map.png")]
    assert pairs_of(tmp_path, f"{line}\n")[0] == expected
    if "," not in line:
        assert pairs_of(tmp_path, f"a/p.png b/p.png\n{line}\n")[0] == [("a/p.png", "b/p.png"), *expected]


@settings(max_examples=50, deadline=None)
@given(picture=NAMES, labels=NAMES, separator=st.sampled_from(["\t", ",", " "]))
def test_any_two_names_are_found(tmp_path_factory, picture, labels, separator):
    root = files(tmp_path_factory.mktemp("list"), f"a/{picture}", f"b/{labels}")
    assert pairs_of(root, f"a/{picture}{separator}b/{labels}\n")[0] == [(f"a/{picture}", f"b/{labels}")]


@pytest.mark.parametrize(("listed", "there"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_are_one_character_or_two(tmp_path, listed, there):
    names = [f"{folder}/café.png" for folder in "ab"]
    files(tmp_path, *(unicodedata.normalize(there, name) for name in names))
    found, _ = pairs_of(tmp_path, " ".join(unicodedata.normalize(listed, name) for name in names))
    assert found == [tuple(unicodedata.normalize(there, name) for name in names)]


def test_true_absolute_paths_stay(tmp_path):
    files(tmp_path, "data/a/p.png", "data/b/p.png")
    (tmp_path / "here").mkdir()
    (tmp_path / "here/train.txt").write_text(f"{tmp_path}/data/a/p.png {tmp_path}/data/b/p.png\n")
    ((picture, labels),), _ = read_pairs(tmp_path / "here/train.txt", tmp_path / "here")
    assert (picture, labels) == (tmp_path / "data/a/p.png", tmp_path / "data/b/p.png")


def test_two_names_never_lead_to_one_file(tmp_path):
    files(tmp_path, "a/p.png", "b/p.png")
    with pytest.raises(DataError, match=r"2 of 4 files that .*train\.txt names are not there, such as .*/y/a/p\.png"):
        pairs_of(tmp_path, "/x/a/p.png /x/b/p.png\n/y/a/p.png /y/b/p.png\n")


def test_lines_without_labels_are_counted(tmp_path):
    files(tmp_path, "a/p.png", "b/p.png")
    assert pairs_of(tmp_path, "a/p.png b/p.png 1\na/q.png None 1\n") == ([("a/p.png", "b/p.png")], 1)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", r"train\.txt lists no pictures"),
        ("\n\na/p.png\n", r"train\.txt, line 3: got 'a/p\.png'; expected 2 columns"),
        ("a/p.png b/q.png\n", r"1 of 2 files .* such as .*b/q\.png \(b holds p\.png\)"),
        ("a/p.JPG b/p.png\n", r"such as .*a/p\.JPG \(a holds p\.png\)"),
        ("c/p.png b/p.png\n", r"such as .*c/p\.png \(there is no folder .*c\)"),
        (f"{'x' * 300} b/p.png\n", r"1 of 2 files"),
    ],
)
def test_what_is_missing_is_named_with_what_is_there(tmp_path, text, found):
    files(tmp_path, "a/p.png", "b/p.png")
    with pytest.raises(DataError, match=found):
        pairs_of(tmp_path, text)


def test_a_missing_first_file_does_not_hide_the_others(tmp_path):
    files(tmp_path, "a/p.png", "a/q.png")
    found = find_files(["/x/a/gone.png", "/x/a/p.png", "/x/a/q.png"], [tmp_path])
    assert found == [tmp_path / "a" / name for name in ("gone.png", "p.png", "q.png")]
    (tmp_path / "p.png").touch()
    found = find_files(["a/p.jpg", "b/p.png", "a/q.png"], [tmp_path])
    assert found == [tmp_path / name for name in ("a/p.jpg", "b/p.png", "a/q.png")]
    assert find_files(["/x/gone.png"], [tmp_path]) == [tmp_path / "x/gone.png"]
    assert find_files([], [Path("nowhere")]) == []
