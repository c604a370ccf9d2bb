import json
import os
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from sslhsic_transfer import from_pretrained
from sslhsic_transfer.embed import embed_folder, read_embeddings
from sslhsic_transfer.errors import ConfigError, DataError, OutputExistsError


def read(path):
    table = pq.read_table(path)
    return table["path"].to_pylist(), np.stack(table["embedding"].to_numpy(zero_copy_only=False))


def test_has_one_row_a_picture_with_its_path(model_folder, digits, tmp_path):
    report = embed_folder(model_folder, digits / "test", tmp_path / "out.parquet", batch_size=5, progress=False)
    names, vectors = read(report.output)
    assert (report.rows, report.dim, report.skipped) == (24, 512, ())
    assert names == sorted(path.relative_to(digits / "test").as_posix() for path in (digits / "test").rglob("*.jpg"))
    expected = from_pretrained(model_folder).embed([digits / "test" / name for name in names])
    np.testing.assert_allclose(vectors, expected.numpy(), rtol=1e-5, atol=1e-5)


def test_tells_which_weights_made_it(model_folder, digits, tmp_path):
    embed_folder(model_folder, digits / "test", tmp_path / "out.parquet", progress=False)
    facts = json.loads(pq.read_schema(tmp_path / "out.parquet").metadata[b"sslhsic_transfer"])
    config = json.loads((model_folder / "config.json").read_text())
    assert facts["weights_sha256"] == config["fingerprint"]["sha256"]
    assert facts["preprocessing"] == config["preprocessing"]


def test_skips_and_lists_what_cannot_be_read(model_folder, digits, tmp_path):
    folder = tmp_path / "pictures"
    shutil.copytree(digits / "test" / "0", folder / "a")
    (folder / "a" / "broken.png").write_bytes(b"?")
    (folder / "b.jpg").write_bytes(b"")
    report = embed_folder(model_folder, folder, tmp_path / "out.parquet", batch_size=3, progress=False)
    names, vectors = read(report.output)
    assert len(names) == len(vectors) == report.rows == 8
    assert [name for name, _ in report.skipped] == ["a/broken.png", "b.jpg"]
    assert "a/broken.png,Cannot read" in (tmp_path / "out.parquet.skipped.csv").read_text()
    expected = from_pretrained(model_folder).embed([folder / name for name in names])
    np.testing.assert_allclose(vectors, expected.numpy(), rtol=1e-5, atol=1e-5)


def test_a_file_that_is_there_is_kept_unless_told(model_folder, digits, tmp_path):
    output = tmp_path / "out.parquet"
    output.write_text("mine")
    with pytest.raises(OutputExistsError, match="--overwrite"):
        embed_folder(model_folder, digits / "test", output, progress=False)
    assert output.read_text() == "mine"
    embed_folder(model_folder, digits / "test", output, overwrite=True, progress=False)
    assert len(read(output)[0]) == 24


def test_failure_leaves_nothing(model_folder, tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "only.jpg").write_bytes(b"?")
    with pytest.raises(DataError, match="None of the 1 pictures"):
        embed_folder(model_folder, tmp_path / "pictures", tmp_path / "out.parquet", progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["pictures"]


def test_refuses_other_formats_by_name(model_folder, digits, tmp_path):
    with pytest.raises(ConfigError, match=r"\.parquet"):
        embed_folder(model_folder, digits / "test", tmp_path / "out.csv", progress=False)


def test_refuses_a_name_that_is_no_text(model_folder, digits, tmp_path):
    (tmp_path / "pictures").mkdir()
    picture = next((digits / "test").rglob("*.jpg"))
    shutil.copy(picture, tmp_path / "pictures" / os.fsdecode(b"caf\xe9.jpg"))
    with pytest.raises(DataError, match="not UTF-8"):
        embed_folder(model_folder, tmp_path / "pictures", tmp_path / "out.parquet", progress=False)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_close_and_told(model_folder, digits, tmp_path, precision, convolutions):
    whole = embed_folder(model_folder, digits / "test", tmp_path / "whole.parquet", progress=False).output
    half = tmp_path / "half.parquet"
    embed_folder(model_folder, digits / "test", half, precision=precision, progress=False)
    a, b = (read_embeddings(path) for path in (whole, half))
    assert (a.precision, b.precision, b.embeddings.dtype) == ("fp32", precision, torch.float32)
    assert not a.embeddings.equal(b.embeddings)
    assert convolutions["eval"] == {torch.float32, {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]}
    assert torch.cosine_similarity(a.embeddings, b.embeddings).min() > 0.999
