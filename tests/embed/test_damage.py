"""Unfinished rows that were damaged: made anew with a word, or an error that says what to do; never a wrong row."""

import json
import warnings

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslhsic_transfer._locks import lock_beside, writing
from sslhsic_transfer.embed import embed_folder, parts
from sslhsic_transfer.embed.formats.parquet import Parquet
from sslhsic_transfer.embed.parts import Parts, pictures_done
from sslhsic_transfer.embed.rows import RowLayout
from sslhsic_transfer.errors import DataError, OutputBusyError, OutputExistsError
from tests.mutations import mutated, with_another_value

JOB = {"model": "m", "weights_sha256": "0" * 64, "preprocessing": {"crop": 64, "mean": [0.5]}, "pictures": 9}
NAMES = [f"{number}.jpg" for number in range(9)]
ROWS = torch.arange(27.0).reshape(9, 3)
SKIPPED = {4: "broken"}
LAYOUT = RowLayout({"pooled": 3})


def rows_of(numbers):
    return LAYOUT.table([NAMES[n] for n in numbers], [(8, 6)] * len(numbers), [], {"pooled": ROWS[numbers].numpy()})


def go_on(output, *, stop=9, job=JOB, overwrite=False):
    """Add missing rows, three pictures at a time; merge if all are there. Return how many were there."""
    found = Parts(output, job, LAYOUT, overwrite=overwrite)
    before = found.done
    with found:
        for start in range(before, stop, 3):
            numbers = [number for number in range(start, start + 3) if number not in SKIPPED]
            skipped = [(NAMES[n], SKIPPED[n]) for n in range(start, start + 3) if n in SKIPPED]
            found.add(rows_of(numbers), skipped)
    if stop == 9:
        found.merge({"model": "m"}, Parquet())
    return before


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(parts, "_PART_ROWS", 3)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    output = tmp_path_factory.mktemp("whole") / "out.parquet"
    go_on(output)
    return output.read_bytes()


@pytest.fixture
def output(tmp_path):
    """Embed six of nine pictures."""
    go_on(tmp_path / "out.parquet", stop=6)
    return tmp_path / "out.parquet"


def entries(output):
    return sorted(path.name for path in output.with_name("out.parquet.parts").iterdir())


def test_what_is_done_is_counted(output, tmp_path):
    assert entries(output) == ["0000000000-0000000003.parquet", "0000000003-0000000006.parquet", "job.json"]
    assert pictures_done(output) == 6
    assert pictures_done(tmp_path / "none.parquet") == 0
    assert go_on(output) == 6


@pytest.mark.parametrize("damage", [lambda content: content[:200], lambda content: b"", lambda content: b"<html>"])
@pytest.mark.parametrize(("part", "left"), [("0000000000-0000000003", 0), ("0000000003-0000000006", 3)])
def test_a_damaged_part_is_made_anew(output, whole, damage, part, left):
    path = output.with_name("out.parquet.parts") / f"{part}.parquet"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(UserWarning, match=rf"{part}.parquet is damaged.*Going on after {left} of 9 pictures"):
        assert go_on(output) == left
    assert output.read_bytes() == whole


def test_a_byte_that_changed_in_a_row_is_found(output, whole):
    path = output.with_name("out.parquet.parts") / "0000000003-0000000006.parquet"
    content = path.read_bytes()
    place = content.index(np.float32(9).tobytes())
    path.write_bytes(content[:place] + b"\x01" + content[place + 1 :])
    assert pq.read_table(path)["embedding"].to_pylist()[0] != [9, 10, 11]  # Parquet does not mind
    with pytest.warns(UserWarning, match="Going on after 3"):
        assert go_on(output) == 3
    assert output.read_bytes() == whole


@pytest.mark.parametrize("content", ["", "null", "[]", "[" * 100_000, None])
def test_without_a_readable_job_rows_are_known_by_their_own_hashes(output, whole, content):
    job = output.with_name("out.parquet.parts") / "job.json"
    job.unlink() if content is None else job.write_text(content)
    with pytest.warns(UserWarning, match=r"job\.json is (damaged|not there).*are kept"):
        assert go_on(output) == 6
    assert output.read_bytes() == whole


def test_rows_of_an_unknown_job_are_not_taken_up(output, whole):
    (output.with_name("out.parquet.parts") / "job.json").write_text("")
    other = JOB | {"weights_sha256": "1" * 64}
    with pytest.raises(OutputExistsError, match=r"job\.json is damaged.*pass --overwrite"):
        go_on(output, job=other)
    assert "0000000000-0000000003.parquet" in entries(output)
    with pytest.warns(UserWarning, match="are kept"), pytest.warns(UserWarning, match="Going on after 0"):
        assert go_on(output, job=other, overwrite=True) == 0
    assert output.read_bytes() == whole


def test_a_part_of_another_job_is_not_mixed_in(output, tmp_path, whole):
    go_on(tmp_path / "other.parquet", stop=6, job=JOB | {"model": "other"})
    name = "0000000003-0000000006.parquet"
    foreign = tmp_path / "other.parquet.parts" / name
    foreign.replace(tmp_path / "out.parquet.parts" / name)
    with pytest.warns(UserWarning, match="of another job"):
        assert go_on(output) == 3
    assert output.read_bytes() == whole


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["holiday.jpg", "notes/a.txt", "job.json/a"])
def test_a_folder_that_is_not_ours_stays(output, overwrite, name):
    path = output.with_name("out.parquet.parts") / name
    if path.parent.is_file():
        path.parent.unlink()
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    with pytest.raises(OutputExistsError, match=r"no embedding job has written.*move the folder away"):
        go_on(output, job=JOB | {"model": "other"}, overwrite=overwrite)
    assert path.read_text() == "mine"
    assert pictures_done(output) == 6


def test_a_file_in_the_place_of_the_folder_stays(tmp_path):
    (tmp_path / "out.parquet.parts").write_text("mine")
    with pytest.raises(OutputExistsError, match="is a file"):
        go_on(tmp_path / "out.parquet", overwrite=True)
    assert (tmp_path / "out.parquet.parts").read_text() == "mine"


def test_what_a_kill_left_does_not_matter(output, whole):
    folder = output.with_name("out.parquet.parts")
    (folder / ".0000000006-0000000009.parquet.0a1b2c3d.tmp").write_bytes(b"half")
    (folder / "0000000005-0000000009.parquet").write_bytes(b"of another start")
    assert go_on(output) == 6
    assert output.read_bytes() == whole
    assert not folder.exists()


def test_damage_after_it_was_written_is_found_before_the_file_is_there(output):
    found = Parts(output, JOB, LAYOUT, overwrite=False)
    with found:
        found.add(rows_of([6, 7, 8]), [])
    found.files[0].write_bytes(found.files[0].read_bytes()[:-1])
    with pytest.raises(DataError, match="Start the same command again"):
        found.merge({}, Parquet())
    assert not output.exists()


@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_any_change_gives_the_same_file_or_an_error_of_ours(tmp_path_factory, whole, data):
    output = tmp_path_factory.mktemp("changed") / "out.parquet"
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setattr(parts, "_PART_ROWS", 3)
        warnings.simplefilter("ignore")
        go_on(output, stop=6)
        name = data.draw(st.sampled_from(entries(output)))
        path = output.with_name("out.parquet.parts") / name
        if name == "job.json" and data.draw(st.booleans()):
            path.write_text(with_another_value(json.loads(path.read_text()), data))
        else:
            path.write_bytes(mutated(path.read_bytes(), data))
        said = None
        try:
            go_on(output)
        except OutputExistsError as error:
            said = str(error)
        if said is not None:
            assert "--overwrite" in said
            assert len(said) < 2000
            go_on(output, overwrite=True)
        assert output.read_bytes() == whole
        assert sorted(file.name for file in output.parent.iterdir()) == ["out.parquet", "out.parquet.skipped.csv"]


def test_two_jobs_on_one_output_are_refused_at_once(model_folder, digits, tmp_path):
    output = tmp_path / "new" / "out.parquet"
    with (
        writing(output, lock_beside(output)),
        pytest.raises(OutputBusyError, match=r"Another process is writing .*out\.parquet"),
    ):
        embed_folder(model_folder, digits / "test", output, progress=False)
    assert not output.parent.exists()
