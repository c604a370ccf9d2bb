"""Interrupted embedding goes on, with the same result."""

import os
import shutil
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from sslhsic_transfer.embed import embed_folder, files, part_files, parts
from sslhsic_transfer.errors import OutputExistsError


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(parts, "_PART_ROWS", 8)


@pytest.fixture
def interrupted(monkeypatch):
    """Embed by batches of 4 until Ctrl-C comes in place of the given batch."""

    def embed(model, images, output, at):
        def until(*arguments, **options):
            for number, batch in enumerate(whole(*arguments, **options)):
                if number == at:
                    raise KeyboardInterrupt
                yield batch

        whole = files.extract_batches
        with monkeypatch.context() as patch:
            patch.setattr(files, "extract_batches", until)
            with pytest.raises(KeyboardInterrupt):
                embed_folder(model, images, output, batch_size=4, progress=False)

    return embed


def test_ctrl_c_loses_nothing(model_folder, digits, tmp_path, interrupted):
    images = tmp_path / "images"
    shutil.copytree(digits / "test", images)
    (images / "0" / "aaa.jpg").write_bytes(b"?")
    expected = embed_folder(model_folder, images, tmp_path / "whole.parquet", batch_size=4, progress=False)
    interrupted(model_folder, images, tmp_path / "out.parquet", at=3)
    assert not (tmp_path / "out.parquet").exists()
    report = embed_folder(model_folder, images, tmp_path / "out.parquet", batch_size=4, progress=False)
    assert (report.resumed, report.rows, report.skipped) == (12, 24, expected.skipped)
    assert report.output.read_bytes() == expected.output.read_bytes()
    assert (tmp_path / "out.parquet.skipped.csv").read_text() == (tmp_path / "whole.parquet.skipped.csv").read_text()
    assert not (tmp_path / "out.parquet.parts").exists()


def test_a_kill_loses_one_part_and_the_file_is_the_same_to_the_byte(model_folder, digits, tmp_path):
    program = f"""
import os, signal
from sslhsic_transfer.embed import files, parts
parts._PART_ROWS = 8
whole = files.extract_batches
def until(*arguments, **options):
    for number, batch in enumerate(whole(*arguments, **options)):
        if number == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        yield batch
files.extract_batches = until
files.embed_folder({str(model_folder)!r}, {str(digits / "test")!r}, "out.parquet", batch_size=4, progress=False)
"""
    killed = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, timeout=300, check=False)
    assert killed.returncode == -9
    report = embed_folder(model_folder, digits / "test", tmp_path / "out.parquet", batch_size=4, progress=False)
    assert report.resumed == 16
    expected = embed_folder(model_folder, digits / "test", tmp_path / "whole.parquet", batch_size=4, progress=False)
    assert report.output.read_bytes() == expected.output.read_bytes()


def test_rows_of_another_job_are_not_mixed_in(model_folder, digits, tmp_path, interrupted):
    output = tmp_path / "out.parquet"
    interrupted(model_folder, digits / "train", output, at=2)
    with pytest.raises(OutputExistsError, match=r"pictures 72 instead of 24.*--overwrite"):
        embed_folder(model_folder, digits / "test", output, progress=False)
    report = embed_folder(model_folder, digits / "test", output, overwrite=True, progress=False)
    assert (report.resumed, report.rows) == (0, 24)


def test_overwrite_keeps_what_the_same_job_has_done(model_folder, digits, tmp_path, interrupted):
    output = tmp_path / "out.parquet"
    interrupted(model_folder, digits / "test", output, at=2)
    assert embed_folder(model_folder, digits / "test", output, overwrite=True, progress=False).resumed == 8


@pytest.mark.parametrize(
    ("rows", "group", "stops"), [(8, 5, (1,)), (4, 7, (1, 2, 1)), (12, 24, (5,)), (100, 9, (2, 3))]
)
def test_the_file_is_the_same_wherever_it_was_interrupted(
    model_folder, digits, tmp_path, interrupted, monkeypatch, rows, group, stops
):
    images = tmp_path / "images"
    shutil.copytree(digits / "test", images)
    (images / "0" / "aaa.jpg").write_bytes(b"?")
    monkeypatch.setattr(part_files, "_GROUP_ROWS", group)
    whole = embed_folder(model_folder, images, tmp_path / "whole.parquet", batch_size=4, progress=False)
    assert pq.ParquetFile(whole.output).num_row_groups == -(-24 // group)
    monkeypatch.setattr(parts, "_PART_ROWS", rows)
    output = tmp_path / "out.parquet"
    for stop in stops:
        interrupted(model_folder, images, output, at=stop)
    report = embed_folder(model_folder, images, output, batch_size=4, progress=False)
    assert report.resumed > 0
    assert report.output.read_bytes() == whole.output.read_bytes()
    assert (tmp_path / "out.parquet.skipped.csv").read_bytes() == (tmp_path / "whole.parquet.skipped.csv").read_bytes()


def test_other_pictures_of_the_same_names_are_another_job(model_folder, digits, tmp_path, interrupted):
    images, output = tmp_path / "images", tmp_path / "out.parquet"
    shutil.copytree(digits / "test", images)
    interrupted(model_folder, images, output, at=2)
    first = sorted(images.rglob("*.jpg"))[0]
    shutil.copy(sorted((digits / "train").rglob("*.jpg"))[-1], first)
    with pytest.raises(OutputExistsError, match="names, sizes and times of pictures"):
        embed_folder(model_folder, images, output, progress=False)
    assert embed_folder(model_folder, images, output, overwrite=True, progress=False).resumed == 0


def test_a_picture_of_another_time_makes_another_job(model_folder, digits, tmp_path, interrupted):
    images, output = tmp_path / "images", tmp_path / "out.parquet"
    shutil.copytree(digits / "test", images)
    interrupted(model_folder, images, output, at=2)
    first = sorted(images.rglob("*.jpg"))[0]
    os.utime(first, ns=(0, first.stat().st_mtime_ns + 1))  # its size stays
    with pytest.raises(OutputExistsError, match="names, sizes and times of pictures"):
        embed_folder(model_folder, images, output, progress=False)
