import json

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode
from PIL import Image

from sslhsic_transfer.adapters.detectron2 import register, register_folder
from sslhsic_transfer.data.labelled.detection import BoxedPicture, DetectionData
from sslhsic_transfer.errors import DataError


@pytest.fixture
def data(tmp_path):
    pictures = []
    for number in range(2):
        Image.new("RGB", (64, 48)).save(tmp_path / f"{number}.png")
        boxes = np.array([[1.5, 2, 30, 40], [5, 6, 7, 8]][: number + 1], dtype=np.float32)
        labels, ignored = np.arange(number + 1), np.arange(number + 1) == 1
        pictures.append(BoxedPicture(10 + number, tmp_path / f"{number}.png", (64, 48), boxes, labels, ignored))
    return DetectionData("toys", "train", tuple(pictures), ("car", "ball"))


def test_the_catalogue_holds_the_same(data):
    name = register(data)
    assert name.startswith("toys_train_")
    assert MetadataCatalog.get(name).thing_classes == ["car", "ball"]
    found = DatasetCatalog.get(name)
    assert [(entry["image_id"], entry["file_name"]) for entry in found] == [(p.id, str(p.path)) for p in data.pictures]
    assert all((entry["width"], entry["height"]) == (64, 48) for entry in found)
    for entry, picture in zip(found, data.pictures, strict=True):
        objects = entry["annotations"]
        assert all(item["bbox_mode"] == BoxMode.XYXY_ABS for item in objects)
        assert np.array_equal([item["bbox"] for item in objects], picture.boxes)
        assert [item["category_id"] for item in objects] == picture.labels.tolist()
        assert [item["iscrowd"] for item in objects] == picture.ignored.tolist()


def test_the_same_data_registers_once_and_other_data_beside_it(data):
    name = register(data)
    assert register(data) == name
    other = DetectionData(data.name, data.split, data.pictures[:1], data.classes)
    assert register(other) != name
    assert len(DatasetCatalog.get(register(other))) == 1
    assert len(DatasetCatalog.get(name)) == 2


def test_a_folder_registers_by_its_path(data, tmp_path):
    (tmp_path / "annotations").mkdir()
    coco = data.as_coco()
    for image in coco["images"]:
        image["file_name"] = image["file_name"].rpartition("/")[2]
    (tmp_path / "annotations/instances_train.json").write_text(json.dumps(coco))
    found = DatasetCatalog.get(register_folder(tmp_path, "train"))
    assert found[1]["annotations"][0]["bbox"] == [1.5, 2, 30, 40]
    assert found[1]["annotations"][1]["iscrowd"] == 1
    with pytest.raises(DataError, match="no split 'val'"):
        register_folder(tmp_path, "val")
