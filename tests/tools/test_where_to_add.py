"""The table "Where to add" of ARCHITECTURE.md names the files that the code of an existing example stands in."""

import pytest

from tools.where_to_add import EXAMPLES, ROOT, files_that_know

ROWS = {
    line.split("|")[1].strip(): line.split("|")[2]
    for line in (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ")
}


@pytest.mark.parametrize("kind", EXAMPLES)
def test_one_file_and_one_row(kind):
    files = files_that_know(EXAMPLES[kind])
    assert len(files) == 2, files


def test_words_in_docstrings_and_comments_do_not_count(tmp_path, monkeypatch):
    path = tmp_path / "module.py"
    monkeypatch.setattr("tools.where_to_add.modules", lambda: {"module": path})
    monkeypatch.setattr("tools.where_to_add.ROOT", tmp_path)
    for code, expected in (
        ('"""convnext"""\n# convnext\n', []),
        ('name = "convnext"', ["module.py"]),
        ("from a.b import convnext", ["module.py"]),
        ("import a.convnext", ["module.py"]),
        ("class ConvNeXt: pass", ["module.py"]),
    ):
        path.write_text(code)
        assert files_that_know(EXAMPLES["a family of backbones"]) == expected


@pytest.mark.parametrize("kind", EXAMPLES)
def test_the_table_names_the_folder_and_the_row(kind):
    row = ROWS[kind]
    for file in files_that_know(EXAMPLES[kind]):
        folder, name = file.rsplit("/", 1)
        assert f"`{file}`" in row or f"`{folder}/`" in row or f"`{name}`" in row, (file, row)
