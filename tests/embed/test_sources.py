"""Every source of the same pictures gives the same rows; lists, shards and tables go on where they were stopped."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sslhsic_transfer.embed import embed, embed_folder, files, read_embeddings
from sslhsic_transfer.embed import parts as parts_module
from sslhsic_transfer.errors import ConfigError, DataError, OutputExistsError


@pytest.fixture(scope="module")
def pictures(digits):
    return sorted((digits / "test").rglob("*.jpg"))


@pytest.fixture(scope="module")
def expected(model_folder, digits, tmp_path_factory):
    output = tmp_path_factory.mktemp("folder") / "a.parquet"
    embed(model_folder, digits / "test", output, progress=False)
    return read_embeddings(output)


@pytest.fixture(scope="module")
def shards(pictures, tmp_path_factory):
    webdataset = pytest.importorskip("webdataset")
    folder = tmp_path_factory.mktemp("shards")
    for number, part in enumerate((pictures[:10], pictures[10:])):
        with webdataset.TarWriter(str(folder / f"digits-{number}.tar")) as tar:
            for path in part:
                tar.write(
                    {"__key__": f"{path.parent.name}/{path.stem}", "jpg": path.read_bytes(), "cls": path.parent.name}
                )
    return folder


@pytest.fixture(scope="module")
def table(pictures, tmp_path_factory):
    import datasets

    folder = tmp_path_factory.mktemp("table")
    rows = {"image": [{"bytes": path.read_bytes(), "path": path.name} for path in pictures]}
    features = datasets.Features({"image": datasets.Image()})
    datasets.Dataset.from_dict(rows, features=features).to_parquet(folder / "pictures.parquet")
    return folder / "pictures.parquet"


def rows_of(model_folder, source, tmp_path):
    embed(model_folder, source, tmp_path / "out.parquet", progress=False)
    return read_embeddings(tmp_path / "out.parquet")


def test_a_folder_has_labels_and_sizes(expected, digits):
    from PIL import Image

    assert expected.labels == tuple(path.split("/")[0] for path in expected.paths)
    for path, size in zip(expected.paths, expected.sizes.tolist(), strict=True):
        with Image.open(digits / "test" / path) as picture:
            assert tuple(size) == picture.size


def test_a_list_of_files(model_folder, digits, expected, tmp_path):
    (digits / "test" / "list.txt").write_text("\n".join(reversed(expected.paths)))
    found = rows_of(model_folder, digits / "test" / "list.txt", tmp_path)
    (digits / "test" / "list.txt").unlink()
    assert found.paths == expected.paths[::-1]
    np.testing.assert_array_equal(found.outputs["pooled"], expected.outputs["pooled"][::-1])
    assert found.labels is None


def test_standard_input(model_folder, digits, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(
        sys, "stdin", io.StringIO("\n".join(str(digits / "test" / path) for path in expected.paths) + "\n")
    )
    found = rows_of(model_folder, "-", tmp_path)
    assert found.paths == tuple(str(digits / "test" / path) for path in expected.paths)
    np.testing.assert_array_equal(found.outputs["pooled"], expected.outputs["pooled"])


def test_shards(model_folder, shards, expected, tmp_path):
    found = rows_of(model_folder, str(shards / "digits-{0..1}.tar"), tmp_path)
    names = [f"digits-{int(n >= 10)}.tar/{path}" for n, path in enumerate(expected.paths)]
    assert (found.paths, found.labels) == (tuple(names), expected.labels)
    np.testing.assert_array_equal(found.outputs["pooled"], expected.outputs["pooled"])


def test_a_table_of_pictures(model_folder, table, expected, tmp_path):
    found = rows_of(model_folder, table, tmp_path)
    assert found.paths == tuple(map(str, range(24)))
    np.testing.assert_array_equal(found.outputs["pooled"], expected.outputs["pooled"])


def test_a_data_set_of_torchvision(model_folder, digits, expected, tmp_path):
    found = rows_of(model_folder, f"torchvision://ImageFolder?root={digits / 'test'}", tmp_path)
    assert found.labels == expected.labels
    np.testing.assert_array_equal(found.outputs["pooled"], expected.outputs["pooled"])


@pytest.mark.parametrize("suffix", [".parquet", ".npy", ".safetensors"])
@pytest.mark.parametrize("kind", ["shards", "table"])
def test_a_stopped_job_goes_on_to_the_same_file(model_folder, kind, suffix, tmp_path, monkeypatch, request):
    source = str(request.getfixturevalue(kind))
    whole, output = (tmp_path / name / f"a{suffix}" for name in ("whole", "stopped"))
    embed(model_folder, source, whole, batch_size=4, progress=False)
    monkeypatch.setattr(parts_module, "_PART_ROWS", 8)
    extract = files.extract_batches

    def stopped(*arguments, **options):
        for number, batch in enumerate(extract(*arguments, **options)):
            if number == 3:
                raise KeyboardInterrupt
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(files, "extract_batches", stopped)
        with pytest.raises(KeyboardInterrupt):
            embed(model_folder, source, output, batch_size=4, progress=False)
    report = embed(model_folder, source, output, batch_size=4, progress=False)
    assert (report.resumed, report.rows) == (12, 24)
    assert output.read_bytes() == whole.read_bytes()


def test_another_choice_is_another_job(model_folder, digits, tmp_path, monkeypatch):
    def stopped(*arguments, **options):
        yield next(extract(*arguments, **options))
        raise KeyboardInterrupt

    extract = files.extract_batches
    with monkeypatch.context() as patch:
        patch.setattr(files, "extract_batches", stopped)
        with pytest.raises(KeyboardInterrupt):
            embed(model_folder, digits / "test", tmp_path / "a.parquet", batch_size=4, progress=False)
    for options, words in (
        ({"outputs": "c4"}, "outputs"),
        ({"dtype": "float16"}, "dtype"),
        ({"normalize": True}, "norm"),
    ):
        with pytest.raises(OutputExistsError, match=words):
            embed(model_folder, digits / "test", tmp_path / "a.parquet", progress=False, **options)


def test_a_picture_that_is_listed_but_missing_is_told(model_folder, digits, pictures, tmp_path):
    names = ["none.jpg", "n" * 300 + ".jpg", f"{pictures[1]}/none.jpg"]
    (tmp_path / "list.txt").write_text("\n".join([str(pictures[0]), *names]))
    report = embed(model_folder, tmp_path / "list.txt", tmp_path / "a.parquet", progress=False)
    assert (report.rows, [name for name, _ in report.skipped]) == (1, names)
    assert "There is no picture at" in report.skipped[0][1]


def test_standard_input_that_is_no_text(model_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9.jpg\n"), encoding="utf-8"))
    with pytest.raises(DataError, match="Standard input is not a list of paths in utf-8"):
        embed(model_folder, "-", tmp_path / "a.parquet", progress=False)


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        ("none", DataError, "none is not there; expected a folder of pictures"),
        ("empty.txt", DataError, "lists no pictures; expected one path per line"),
        ("s3://bucket/a.tar", DataError, "is not on this machine"),
        ("htf://imagefolder?data_dir=x", ConfigError, r"no such kind of data: htf:// \(did you mean hf"),
        ("hf://imagefolder?data_dir={data}&streaming=true&length=24", ConfigError, "leave out streaming"),
    ],
)
def test_sources_that_cannot_be(model_folder, digits, tmp_path, monkeypatch, source, error, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(error, match=words):
        embed(model_folder, source.format(data=digits / "test"), tmp_path / "a.parquet", progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["empty.txt"]
    with pytest.raises(DataError, match="is not a folder"):
        embed_folder(model_folder, "empty.txt", tmp_path / "a.parquet", progress=False)


def test_the_command(model_folder, pictures, tmp_path, sslhsic_here):
    (tmp_path / "list.txt").write_text("\n".join(map(str, pictures[:3])))
    options = ("--output", "a.npy", "--outputs", "c4", "--dtype", "float16", "--normalize", "--workers", 0)
    said = sslhsic_here("embed", model_folder, "list.txt", *options).stdout
    assert "a.npy: 3 pictures, 256 numbers each" in said
    assert np.load(tmp_path / "a.npy").dtype == np.float16


def test_the_command_reads_a_list_from_a_pipe(model_folder, digits, tmp_path):
    program = ["find", str(digits / "test" / "0"), "-name", "*.jpg"]
    listed = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    command = [str(Path(sys.executable).parent / "sslhsic"), "embed", str(model_folder), "-", "--output", "a.parquet"]
    subprocess.run(command, input=listed, text=True, cwd=tmp_path, check=True, capture_output=True)
    assert len(read_embeddings(tmp_path / "a.parquet").paths) == 8
