import shutil
from collections import Counter

import pytest

from sslhsic_transfer.data.labelled.classification import find_classification
from sslhsic_transfer.errors import DataError


def test_a_folder_a_split_and_a_class(digits):
    data = find_classification(digits, "train")
    assert (data.name, data.split, data.classes, len(data)) == (digits.name, "train", ("0", "1", "5"), 72)
    assert data.read_picture(0).mode == "RGB"


@pytest.mark.parametrize(("share", "each"), [(1.0, 24), (0.5, 12), (0.1, 2), (0.001, 1)])
def test_a_share_of_the_labels_is_one_of_each_class(digits, share, each):
    data = find_classification(digits, "train")
    part = data.share(share, seed=0)
    assert Counter(part.folder.labels) == dict.fromkeys(range(3), each)
    assert part.folder.paths == data.share(share, seed=0).folder.paths
    assert set(part.folder.paths) <= set(data.folder.paths)
    assert part.classes == data.classes
    if share < 1:
        assert part.folder.paths != data.share(share, seed=1).folder.paths


def test_a_list_of_pictures_names_files_or_paths(digits, tmp_path):
    data = find_classification(digits, "train")
    chosen = [data.folder.paths[index] for index in (3, 30, 60)]
    names = [chosen[2].name, "", f"5/{chosen[2].name}", chosen[0].name, f"1/{chosen[1].name}"]
    (tmp_path / "list.txt").write_text("\n".join(names))
    part = data.listed(tmp_path / "list.txt")
    assert part.folder.paths == tuple(chosen)
    assert part.folder.labels == (0, 1, 2)


@pytest.mark.parametrize(
    "line", ["/{}", "./{}", "train/{}", "/home/me/digits/train/{}", "D:\\me\\{}", "{} 3", "{}\t3", "{},3", "/data/{} 3"]
)
def test_lists_may_be_those_of_another_machine_with_labels(digits, tmp_path, line):
    data = find_classification(digits, "train")
    chosen = [data.folder.paths[index] for index in (3, 30)]
    names = [line.format(path.relative_to(digits / "train").as_posix()) for path in chosen]
    names = [name.replace("/", "\\") if "\\" in name else name for name in names]
    (tmp_path / "list.txt").write_bytes("\r\n".join(names).encode("utf-8-sig"))
    assert data.listed(tmp_path / "list.txt").folder.paths == tuple(chosen)


def test_paths_of_another_place_are_no_names(digits, tmp_path):
    data = find_classification(digits, "train")
    first, second = (data.folder.paths[index].relative_to(digits / "train").as_posix() for index in (3, 30))
    (tmp_path / "list.txt").write_text(f"a/train/{first}\na/val/{second}\n")
    with pytest.raises(DataError, match=rf"1 of the 2 pictures .* such as a/val/{second}"):
        data.listed(tmp_path / "list.txt")
    (tmp_path / "list.txt").write_text(f"{first}\na/train/{second}\n")
    with pytest.raises(DataError, match=rf"1 of the 2 pictures .* such as a/train/{second}"):
        data.listed(tmp_path / "list.txt")
    (tmp_path / "list.txt").write_text(f"/other/{data.folder.paths[3].name}\n")
    with pytest.raises(DataError, match=r"1 of the 1 pictures"):
        data.listed(tmp_path / "list.txt")


def test_names_that_two_pictures_share_need_their_folders(digits, tmp_path):
    for label, picture in (("a", "x y.jpg"), ("b", "x y.jpg"), ("b", "z.jpg")):
        (tmp_path / "train" / label).mkdir(parents=True, exist_ok=True)
        shutil.copy(next((digits / "train").rglob("*.jpg")), tmp_path / "train" / label / picture)
    data = find_classification(tmp_path, "train")
    (tmp_path / "list.txt").write_text("b/x y.jpg\nz.jpg\n")
    assert [path.name for path in data.listed(tmp_path / "list.txt").folder.paths] == ["x y.jpg", "z.jpg"]
    (tmp_path / "list.txt").write_text("x y.jpg\n")
    with pytest.raises(DataError, match=r"1 of the 1 .* such as x y\.jpg .*give its folder, too"):
        data.listed(tmp_path / "list.txt")


def test_lists_that_do_not_fit_are_refused(digits, tmp_path):
    data = find_classification(digits, "train")
    with pytest.raises(DataError, match="not there"):
        data.listed(tmp_path / "list.txt")
    (tmp_path / "list.txt").write_text(f"{data.folder.paths[0].name}\nn01440764_1.JPEG\n")
    with pytest.raises(DataError, match=r"1 of the 2 pictures .* such as n01440764_1\.JPEG"):
        data.listed(tmp_path / "list.txt")


def test_splits_that_are_not_there_are_refused(digits, tmp_path):
    with pytest.raises(DataError, match=r"no split 'val' .*found: test, train"):
        find_classification(digits, "val")
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="holds no pictures"):
        find_classification(tmp_path, "train")
