import gc
import os
import unicodedata
from pathlib import Path

import pytest

from sslhsic_transfer.data.image_folder import ImageFolder, pictures_below
from sslhsic_transfer.errors import DataError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_finds_pictures_and_classes_in_order(tmp_path):
    touch(tmp_path, "b/2.JPG", "b/1.png", "a/x/deep.webp", "a/notes.txt", ".cache/c.jpg", "b/.hidden.jpg")
    folder = ImageFolder.scan(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in folder.paths] == ["a/x/deep.webp", "b/1.png", "b/2.JPG"]
    assert folder.classes == ("a", "b")
    assert folder.labels == (0, 1, 1)
    assert len(folder) == 3


@pytest.mark.parametrize("names", [("1.jpg", "2.jpg"), ("a/1.jpg", "b/1.jpg", "c.jpg"), ("only/1.jpg", "only/2.jpg")])
def test_plain_folders_have_no_labels(tmp_path, names):
    touch(tmp_path, *names)
    assert ImageFolder.scan(tmp_path).classes == ()
    assert ImageFolder.scan(tmp_path).labels == ()
    with pytest.raises(DataError, match="has no classes"):
        ImageFolder.scan(tmp_path, labelled=True)


def test_folders_without_pictures_are_refused(tmp_path):
    touch(tmp_path, "readme.txt")
    with pytest.raises(DataError, match="holds no pictures"):
        ImageFolder.scan(tmp_path)
    with pytest.raises(DataError, match="is not a folder"):
        ImageFolder.scan(tmp_path / "readme.txt")


def test_a_part_of_a_folder_keeps_order_and_classes(digits):
    folder = ImageFolder.scan(digits / "test")
    part = folder.subset([17, 3, 3])
    assert part.paths == (folder.paths[17], folder.paths[3], folder.paths[3])
    assert (part.labels, part.classes) == ((2, 0, 0), ("0", "1", "5"))
    assert ImageFolder.scan(digits / "test/0").subset(range(2)).labels == ()


def test_linked_folders_and_files_are_followed(tmp_path):
    touch(tmp_path / "store", "cats/1.png", "dogs/deep/1.jpg", "loose.png")
    chosen = tmp_path / "chosen"
    (chosen / "cats").mkdir(parents=True)
    (chosen / "cats/linked.png").symlink_to(tmp_path / "store/loose.png")
    (chosen / "cats/broken.png").symlink_to(tmp_path / "nowhere.png")
    (chosen / "dogs").symlink_to(tmp_path / "store/dogs")
    (chosen / "cats/around.png").symlink_to(chosen / "cats/around.png")
    (chosen / "cats/notes.txt").symlink_to(tmp_path / "nowhere.txt")
    with pytest.warns(
        UserWarning, match=r"2 links of .*chosen lead to no file .*cats/around\.png: fetch the files, by"
    ):
        folder = ImageFolder.scan(chosen, labelled=True)
    assert [path.relative_to(chosen).as_posix() for path in folder.paths] == ["cats/linked.png", "dogs/deep/1.jpg"]
    assert folder.classes == ("cats", "dogs")


def test_a_link_back_is_not_followed(tmp_path):
    touch(tmp_path, "a/1.png", "b/2.png")
    (tmp_path / "a/up").symlink_to(tmp_path)
    (tmp_path / "b/here").symlink_to(tmp_path / "b")
    (tmp_path / "b/across").symlink_to(tmp_path / "a")
    found = [path.relative_to(tmp_path).as_posix() for path in ImageFolder.scan(tmp_path).paths]
    assert found == ["a/1.png", "b/2.png", "b/across/1.png"]
    (tmp_path / "a/across").symlink_to(tmp_path / "b")
    found = [path.relative_to(tmp_path).as_posix() for path in ImageFolder.scan(tmp_path).paths]
    assert found == ["a/1.png", "a/across/2.png", "b/2.png", "b/across/1.png"]


@pytest.mark.filterwarnings("error")
def test_looking_for_one_picture_leaves_no_folder_open(tmp_path):
    touch(tmp_path, "a/deep/1.png", "a/2.png", "b/3.png")
    assert any(True for _ in pictures_below(tmp_path))
    gc.collect()


def test_folders_that_may_not_be_read_are_passed_over_and_told(tmp_path, monkeypatch):
    """The superuser may read everything, so it is said, not done."""
    touch(tmp_path, "a/1.png", "lost+found/2.png", "a/private/3.png")
    scan = os.scandir

    def guarded(folder):
        if Path(folder).name in ("lost+found", "private"):
            raise PermissionError(13, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.warns(UserWarning, match=r"1 folders of .* may not be read .*such as .*/a/private: allow"):
        found = ImageFolder.scan(tmp_path)
    assert [path.name for path in found.paths] == ["1.png"]


def test_a_link_to_itself_is_passed_over(tmp_path):
    touch(tmp_path, "a/1.png", "b/2.png")
    (tmp_path / "a/self.png").symlink_to("self.png")
    (tmp_path / "b/there").symlink_to("back")
    (tmp_path / "b/back").symlink_to("there")
    with pytest.warns(UserWarning, match=r"1 links of .* lead to no file .*self\.png"):
        folder = ImageFolder.scan(tmp_path)
    assert [path.name for path in folder.paths] == ["1.png", "2.png"]


def test_both_unicode_forms_of_a_name_are_one_class(tmp_path):
    for form in ("NFC", "NFD"):
        touch(tmp_path / form, unicodedata.normalize(form, "café/1.png"), "b/1.png")
    first, second = (ImageFolder.scan(tmp_path / form) for form in ("NFC", "NFD"))
    assert first.classes == second.classes == ("b", unicodedata.normalize("NFC", "café"))
    assert first.labels == second.labels == (0, 1)


@pytest.mark.parametrize("name", ["1.jfif", "1.jpe", "1.jp2", "1.pgm", "1.pnm", "1.tga", "1.mpo", "1.apng", "1.AVIF"])
def test_less_common_pictures_are_found(tmp_path, name):
    touch(tmp_path, name)
    assert [path.name for path in ImageFolder.scan(tmp_path).paths] == [name]


def test_pictures_that_cannot_be_read_here_are_told(tmp_path):
    touch(tmp_path, "a.jpg", "b.heic", "deep/c.JXL", "notes.txt")
    with pytest.warns(UserWarning, match=r"2 pictures of .* passed over; Pillow reads no \.heic, \.jxl here, such as"):
        assert len(ImageFolder.scan(tmp_path)) == 1
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(DataError, match=r"holds no pictures; Pillow reads no \.heic, \.jxl here"):
        ImageFolder.scan(tmp_path)


def test_a_class_does_not_vanish_without_a_word(tmp_path):
    touch(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "c" / "inner").mkdir(parents=True)
    (tmp_path / ".cache").mkdir()
    with pytest.warns(UserWarning, match=r"No class comes of folders .* without pictures: 'c'\."):
        assert ImageFolder.scan(tmp_path, labelled=True).classes == ("a", "b")
    touch(tmp_path, "c/inner/1.heic")
    with pytest.raises(DataError, match=r"No picture of the class c .* Pillow reads no \.heic here.*convert"):
        ImageFolder.scan(tmp_path, labelled=True)
    with pytest.warns(UserWarning, match="passed over"), pytest.warns(UserWarning, match="without pictures"):
        assert ImageFolder.scan(tmp_path).classes == ("a", "b")


def test_a_class_of_which_some_pictures_can_be_read_stays(tmp_path):
    touch(tmp_path, "a/1.png", "b/1.png", "b/2.cr2")
    with pytest.warns(UserWarning, match=r"1 pictures of"):
        assert ImageFolder.scan(tmp_path, labelled=True).classes == ("a", "b")
