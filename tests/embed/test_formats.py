"""Every format gives back what was written, in one or many tables, and appears only once it is whole."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file

from sslhsic_transfer import from_pretrained
from sslhsic_transfer.embed import embed, read_embeddings
from sslhsic_transfer.embed.formats import FORMATS, format_of
from sslhsic_transfer.embed.formats.format import Rows
from sslhsic_transfer.embed.rows import RowLayout
from sslhsic_transfer.errors import ConfigError, DataError, OutputExistsError

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9)
FACTS = {"model": "m", "weights_sha256": "0" * 64, "preprocessing": {}, "precision": "fp32", "library_version": "1"}


def rows_of(paths, layout, step):
    """Rows of some paths, in tables of ``step``."""
    random = np.random.default_rng(len(paths))
    values = {name: random.normal(size=(len(paths), dim)).astype(layout.dtype) for name, dim in layout.outputs.items()}
    sizes = [(number + 1, 7) for number in range(len(paths))]
    labels = [f"class {number % 2}" for number in range(len(paths))] if layout.labeled else []

    def tables():
        for start in range(0, len(paths), step):
            part = slice(start, start + step)
            yield layout.table(paths[part], sizes[part], labels[part], {name: v[part] for name, v in values.items()})

    return Rows(layout, len(paths), FACTS, tables), values, sizes, labels


@pytest.mark.parametrize("suffix", FORMATS)
@settings(max_examples=25, deadline=None)
@given(
    paths=st.lists(NAMES, min_size=1, max_size=9),
    labeled=st.booleans(),
    dtype=st.sampled_from(["float32", "float16"]),
    step=st.integers(1, 9),
)
def test_what_was_written_is_read(tmp_path_factory, suffix, paths, labeled, dtype, step):
    path = tmp_path_factory.mktemp("rows") / f"a{suffix}"
    form = format_of(path)
    layout = RowLayout({"pooled": 3, "c4": 2} if form.several else {"c4": 2}, dtype, labeled)
    rows, values, sizes, labels = rows_of(paths, layout, step)
    form.write(path, rows)
    assert sorted(path.parent.iterdir()) == sorted([path, *form.beside(path)])
    found = form.read(path)
    assert (found.paths, found.labels) == (paths, labels or None)
    assert found.sizes.tolist() == [list(size) for size in sizes]
    assert list(found.outputs) == list(layout.outputs)
    for name, expected in values.items():
        assert found.outputs[name].dtype == expected.dtype
        np.testing.assert_array_equal(found.outputs[name], expected)
    assert found.facts["model"] == "m"


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_does_not_depend_on_its_tables(tmp_path, suffix):
    """But for Parquet's row groups, which `Parts` makes alike."""
    contents = []
    for step in (2, 5):
        path = tmp_path / str(step) / f"a{suffix}"
        path.parent.mkdir()
        rows, *_ = rows_of([f"{n}.jpg" for n in range(9)], RowLayout({"pooled": 4}), step)
        format_of(path).write(path, rows)
        contents.append(path.read_bytes())
    assert (contents[0] == contents[1]) == (suffix != ".parquet")


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_failure_leaves_nothing(tmp_path, suffix):
    rows, *_ = rows_of([f"{n}.jpg" for n in range(9)], RowLayout({"pooled": 4}), 3)

    def broken():
        yield next(iter(rows.tables()))
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        format_of(tmp_path / f"a{suffix}").write(tmp_path / f"a{suffix}", Rows(rows.layout, 9, FACTS, broken))
    assert list(tmp_path.iterdir()) == []


def test_files_are_what_their_own_libraries_read(model_folder, digits, tmp_path):
    for suffix in FORMATS:
        embed(model_folder, digits / "test", tmp_path / f"a{suffix}", progress=False)
    table = pq.read_table(tmp_path / "a.parquet")
    expected = np.stack(table["embedding"].to_numpy(zero_copy_only=False))
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy", mmap_mode="r"), expected)
    np.testing.assert_array_equal(load_file(tmp_path / "a.safetensors")["pooled"], expected)
    with safe_open(tmp_path / "a.safetensors", "numpy") as file:
        config = json.loads((model_folder / "config.json").read_text())
        assert json.loads(file.metadata()["sslhsic_transfer"])["weights_sha256"] == config["fingerprint"]["sha256"]
    assert (tmp_path / "a.csv").read_text().splitlines()[0] == '"path","width","height","label"'
    assert table["label"].to_pylist() == [path.split("/")[0] for path in table["path"].to_pylist()]


def test_outputs_types_and_norms(model_folder, digits, tmp_path):
    options = {"outputs": "pooled,c3,c5", "dtype": "float16", "normalize": True, "progress": False}
    report = embed(model_folder, digits / "test", tmp_path / "a.parquet", batch_size=7, **options)
    assert report.dim == 512 + 128 + 512
    found = read_embeddings(tmp_path / "a.parquet")
    assert found.normalized
    assert {name: (values.shape, values.dtype.name) for name, values in found.outputs.items()} == {
        "pooled": ((24, 512), "float16"),
        "c3": ((24, 128), "float16"),
        "c5": ((24, 512), "float16"),
    }
    encoder = from_pretrained(model_folder)
    images = encoder.preprocessing.transform()(digits / "test" / found.paths[5])[None]
    for name, values in found.outputs.items():
        expected = (
            encoder(images)[0] if name == "pooled" else encoder.feature_maps(images, (name,))[name].mean((2, 3))[0]
        )
        expected = (expected / expected.norm()).detach().numpy()
        np.testing.assert_allclose(values[5], expected, atol=2e-3)
    assert found.embeddings.norm(dim=1).allclose(found.embeddings.new_ones(24), atol=2e-3)


@pytest.mark.parametrize(
    ("output", "outputs", "words"),
    [
        ("a.csv", "pooled", r"ends in \.parquet or \.npy or \.safetensors"),
        ("a.npy", "pooled,c4", r"a \.npy file holds one"),
        ("a.parquet", "pooled,c6", r"expected one or more of pooled, c2, c3, c4, c5"),
        ("a.parquet", "c4,c4", r"expected one or more of"),
        ("a.parquet", "", r"expected one or more of"),
    ],
)
def test_what_does_not_go_together_is_refused(model_folder, digits, tmp_path, output, outputs, words):
    with pytest.raises(ConfigError, match=words):
        embed(model_folder, digits / "test", tmp_path / output, outputs=outputs, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_files_beside_the_output_are_kept_unless_told(model_folder, digits, tmp_path):
    (tmp_path / "a.csv").write_text("mine")
    with pytest.raises(OutputExistsError, match=r"a\.csv already exists"):
        embed(model_folder, digits / "test", tmp_path / "a.npy", progress=False)
    assert (tmp_path / "a.csv").read_text() == "mine"


@pytest.mark.parametrize("suffix", FORMATS)
def test_damaged_files_are_one_error(model_folder, digits, tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    embed(model_folder, digits / "test" / "0", path, progress=False)
    content = path.read_bytes()
    for damaged in (b"", b"<html>", content[:100], content[: len(content) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="not a file that `sslhsic embed` wrote, or damaged"):
            read_embeddings(path)
    path.unlink()
    with pytest.raises(DataError, match="is not there"):
        read_embeddings(path)
