"""Small data sets whose truth can be seen in the pictures, in the layouts that users have."""

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

CLASSES = ("ground", "square")
SIZE = (80, 60)  # width, height


def scene(number: int) -> tuple[Image.Image, tuple[int, int, int, int]]:
    """Draw a gray picture with one bright square; return it and the square's box x1, y1, x2, y2."""
    random = np.random.default_rng(number)
    noise = random.integers(40, 90, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    side = int(random.integers(18, 30))
    x, y = (int(random.integers(0, limit - side)) for limit in SIZE)
    ImageDraw.Draw(picture).rectangle((x, y, x + side - 1, y + side - 1), fill=(230, 200, 40))
    return picture, (x, y, x + side, y + side)


def mask_of(box: tuple[int, int, int, int]) -> np.ndarray:
    mask = np.zeros((SIZE[1], SIZE[0]), dtype=np.uint8)
    mask[box[1] : box[3], box[0] : box[2]] = 1
    return mask


def splits(train: int, val: int) -> list[tuple[str, range]]:
    return [("train", range(train)), ("val", range(100, 100 + val))]


def segmentation_lists(root: Path, train: int = 8, val: int = 4) -> Path:
    """Write data as CamVid in SegNet's layout; the first row of each mask is void."""
    root.mkdir(parents=True)
    for split, numbers in splits(train, val):
        lines = []
        for number in numbers:
            picture, box = scene(number)
            mask = mask_of(box)
            mask[0] = len(CLASSES)
            (root / split).mkdir(exist_ok=True)
            (root / f"{split}annot").mkdir(exist_ok=True)
            picture.save(root / split / f"{number}.png")
            Image.fromarray(mask).save(root / f"{split}annot" / f"{number}.png")
            lines.append(f"{split}/{number}.png {split}annot/{number}.png")
        (root / f"{split}.txt").write_text("\n".join(lines))
    (root / "classes.txt").write_text("\n".join([*CLASSES, "void"]))
    return root


def detection_coco(root: Path, train: int = 8, val: int = 4) -> Path:
    """Write data as COCO; category numbers have gaps, and the last picture of a split has no object."""
    for split, numbers in splits(train, val):
        (root / "images" / split).mkdir(parents=True)
        images, annotations = [], []
        for number in numbers:
            picture, (x1, y1, x2, y2) = scene(number)
            if number == numbers[-1]:
                picture = Image.new("RGB", SIZE, (60, 60, 60))
            picture.save(root / "images" / split / f"{number}.png")
            images.append({"id": number, "file_name": f"{number}.png", "width": SIZE[0], "height": SIZE[1]})
            if number != numbers[-1]:
                box = [x1, y1, x2 - x1, y2 - y1]
                annotations.append({"id": number, "image_id": number, "category_id": 7, "bbox": box, "iscrowd": 0})
        (root / "annotations").mkdir(exist_ok=True)
        content = {"images": images, "annotations": annotations, "categories": [{"id": 7, "name": "square"}]}
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return root


VOC_OBJECT = (
    "<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{0}</xmin><ymin>{1}</ymin>"
    "<xmax>{2}</xmax><ymax>{3}</ymax></bndbox></object>"
)


def detection_voc(root: Path, train: int = 8, val: int = 4) -> Path:
    """As Pascal VOC: corners counted from 1, both included; each picture has a difficult object, too."""
    place = root / "VOC2007"
    for folder in ("ImageSets/Main", "JPEGImages", "Annotations"):
        (place / folder).mkdir(parents=True)
    for split, numbers in splits(train, val):
        for number in numbers:
            picture, (x1, y1, x2, y2) = scene(number)
            picture.save(place / "JPEGImages" / f"{number:06d}.jpg")
            objects = VOC_OBJECT.format(x1 + 1, y1 + 1, x2, y2, name="square", difficult=0)
            objects += VOC_OBJECT.format(1, 1, 5, 5, name="dot", difficult=1)
            size = f"<size><width>{SIZE[0]}</width><height>{SIZE[1]}</height></size>"
            (place / "Annotations" / f"{number:06d}.xml").write_text(f"<annotation>{size}{objects}</annotation>")
        (place / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(f"{number:06d}" for number in numbers))
    return root


def depth_lists(root: Path, train: int = 8, val: int = 4) -> Path:
    """The square is a meter away, the ground three; the first row was not measured."""
    for folder in ("rgb", "depth"):
        (root / folder).mkdir(parents=True)
    for split, numbers in splits(train, val):
        for number in numbers:
            picture, box = scene(number)
            depth = np.where(mask_of(box) == 1, 1000, 3000).astype(np.uint16)
            depth[0] = 0
            picture.save(root / "rgb" / f"{number}.png")
            Image.fromarray(depth).save(root / "depth" / f"{number}.png")
        (root / f"{split}.txt").write_text("\n".join(f"rgb/{n}.png depth/{n}.png" for n in numbers))
    return root
