from collections import Counter

from sslhsic_transfer.data.image_folder import ImageFolder
from sslhsic_transfer.data.images import load_image
from sslhsic_transfer.sample import sign_digits


def test_is_a_small_balanced_image_folder_with_its_notice():
    sample = sign_digits()
    assert sample.classes == tuple("0123456789")
    train, test = ImageFolder.scan(sample.train, labelled=True), ImageFolder.scan(sample.test, labelled=True)
    assert (len(train), len(test)) == (1242, 409)
    assert train.classes == test.classes == sample.classes
    assert min(Counter(train.labels).values()) >= 100
    assert all(load_image(path).size == (72, 72) for path in test.paths)
    assert sum(path.stat().st_size for path in sample.root.rglob("*") if path.is_file()) <= 3_000_000
    assert "Apache License" in (sample.root / "NOTICE").read_text(encoding="utf-8")


def test_no_picture_is_in_both_splits():
    sample = sign_digits()
    contents = [{path.read_bytes() for path in folder.rglob("*.jpg")} for folder in (sample.train, sample.test)]
    assert not contents[0] & contents[1]
