import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from sslhsic_transfer import _fingerprint
from sslhsic_transfer._fingerprint import fingerprint_of, sizes_of


@dataclasses.dataclass(frozen=True)
class Data:
    name: str
    pairs: tuple[tuple[Path, Path], ...]
    labels: np.ndarray

    def read(self):
        """Stands for a reader."""


def made(folder, sizes=(1, 2), labels=(0, 1)):
    folder.mkdir(parents=True, exist_ok=True)
    pairs = []
    for number, size in enumerate(sizes):
        files = folder / f"{number}.jpg", folder / f"{number}.png"
        for file in files:
            file.write_bytes(b"x" * size)
        pairs.append(files)
    return Data(folder.name, tuple(pairs), np.array(labels))


def test_a_folder_may_move(tmp_path):
    before = fingerprint_of(made(tmp_path / "data"))
    (tmp_path / "elsewhere").mkdir()
    shutil.move(tmp_path / "data", tmp_path / "elsewhere" / "renamed")
    pairs = tuple((tmp_path / f"elsewhere/renamed/{n}.jpg", tmp_path / f"elsewhere/renamed/{n}.png") for n in range(2))
    assert fingerprint_of(Data("renamed", pairs, np.array((0, 1)))) == before


@pytest.mark.parametrize("changes", [{"sizes": (1, 3)}, {"labels": (1, 0)}, {"sizes": (1, 2, 3)}])
def test_other_sizes_labels_and_numbers_are_others(tmp_path, changes):
    assert fingerprint_of(made(tmp_path / "a", **changes)) != fingerprint_of(made(tmp_path / "b"))


def test_other_names_and_orders_are_others(tmp_path):
    data = made(tmp_path / "a", sizes=(1, 1))
    turned = dataclasses.replace(data, pairs=data.pairs[::-1])
    assert fingerprint_of(turned) != fingerprint_of(data)


def test_values_do_not_run_into_one_another():
    values = [
        ["ab", "c"],
        ["a", "bc"],
        ["abc"],
        [1],
        ["1"],
        [b"1"],
        [None],
        [[], [1]],
        [[1], []],
        [{"a": 1}],
        [np.ones(1)],
    ]
    assert len({fingerprint_of(value) for value in values}) == len(values)


def test_a_readers_object_counts(tmp_path):
    one, other = made(tmp_path / "a"), made(tmp_path / "b", sizes=(1, 9))
    assert fingerprint_of([one.read]) != fingerprint_of([other.read])
    assert fingerprint_of([one.read]) == fingerprint_of([made(tmp_path / "a").read])


def test_few_of_many_files_are_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(_fingerprint, "_MOST_SIZES", 3)
    files = [tmp_path / str(number) for number in range(7)]
    for number, file in enumerate(files):
        file.write_bytes(b"x" * number)
    assert sizes_of(files) == [0, 2, 4]
    assert sizes_of([tmp_path / "none"]) == [-1]
