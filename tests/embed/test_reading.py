import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from sslhsic_transfer import from_pretrained
from sslhsic_transfer.embed import embed_folder, part_files, read_embeddings
from sslhsic_transfer.errors import DataError


def test_gives_what_was_written(model_folder, digits, tmp_path, monkeypatch):
    monkeypatch.setattr(part_files, "_GROUP_ROWS", 10)  # several row groups
    embed_folder(model_folder, digits / "test", tmp_path / "out.parquet", batch_size=5, progress=False)
    encoder = from_pretrained(model_folder)
    found = read_embeddings(tmp_path / "out.parquet")
    assert found.embeddings.shape == (24, 512)
    expected = encoder.embed([digits / "test" / path for path in found.paths])
    torch.testing.assert_close(found.embeddings, expected, rtol=1e-5, atol=1e-5)
    assert (found.model, found.weights_sha256) == (str(model_folder), encoder.weights_sha256)
    assert found.preprocessing == encoder.preprocessing


def test_refuses_what_is_not_such_a_file(tmp_path):
    with pytest.raises(DataError, match="not there"):
        read_embeddings(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("text")
    with pytest.raises(DataError, match="not a file that"):
        read_embeddings(tmp_path / "text.parquet")
    pq.write_table(pa.table({"path": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(DataError, match="not a file that"):
        read_embeddings(tmp_path / "other.parquet")
