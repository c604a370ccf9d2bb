"""Unfinished rows with bytes changed, also such as have the right hash; folders of damaged pictures."""

from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from sslhsic_transfer.embed import embed_folder, read_embeddings
from sslhsic_transfer.embed.formats.format import Rows
from sslhsic_transfer.embed.formats.parquet import Parquet
from sslhsic_transfer.embed.part_files import PartError, grouped, read_part, write_part
from sslhsic_transfer.errors import DataError
from tests.embed.test_damage import JOB, LAYOUT, NAMES, ROWS, rows_of
from tests.fuzzing import FORMS, Form, read_all
from tests.memory import peak_of
from tests.sample_pictures import samples

MOST = 150  # MiB: a part of three rows, and what Arrow takes at first


def _read(path: Path) -> None:
    try:
        part = read_part(path, JOB, LAYOUT)
    except PartError as error:
        raise DataError(str(error)) from error  # as `Parts.merge` does
    assert part.table["path"].to_pylist() == NAMES[:3]
    assert np.array_equal(np.stack(part.table["embedding"].to_pylist()), ROWS[:3].numpy())


@FORMS
def test_damaged_parts(form: Form, tmp_path):
    path = write_part(tmp_path, JOB, 0, rows_of([0, 1, 2]), [])
    found = read_all(_read, form.inputs([path.read_bytes()], 600), path, most=MOST)
    assert found["DataError"] > 500


def _read_whole(path: Path) -> None:
    found = read_embeddings(path)
    assert len(found.embeddings) == len(found.paths)


@FORMS
def test_damaged_embedding_files(form: Form, tmp_path):
    folder = tmp_path / "parts"
    path = write_part(folder, JOB, 0, rows_of([0, 1, 2]), [])
    Parquet().write(tmp_path / "a.parquet", Rows(LAYOUT, 3, {"model": "m"}, partial(grouped, [path], JOB, LAYOUT)))
    whole = (tmp_path / "a.parquet").read_bytes()
    found = read_all(_read_whole, form.inputs([whole], 500), tmp_path / "a.parquet", most=MOST)
    assert found["DataError"] > 100


@FORMS
def test_folders_of_damaged_pictures(form: Form, model_folder, tmp_path, monkeypatch):
    """Each picture is a row or is told; the process takes what it takes for whole ones, and a picture more."""
    monkeypatch.setenv("SSLHSIC_MAX_PIXELS", "1000000")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    inputs = form.inputs(list(samples().values()), 1)
    for number, (_, content) in enumerate(inputs):
        (pictures / f"{number:05}.png").write_bytes(content)
    told, grown = peak_of(_embed, model_folder, pictures, tmp_path / "a.parquet", method="spawn", limit=500)
    assert told == "done", f"seed {inputs.seed}"
    assert grown < 1500, f"MiB, torch's own 600 among them; seed {inputs.seed}"


def _embed(model: Path, pictures: Path, output: Path) -> None:
    report = embed_folder(model, pictures, output, batch_size=16, progress=False)
    assert 10 < report.rows < report.rows + len(report.skipped) == len(list(pictures.iterdir()))
    assert all(reason for _, reason in report.skipped)
    assert pq.read_table(output).num_rows == report.rows
