from pathlib import Path

import numpy as np

from sslhsic_transfer.data.labelled.detection import find_detection
from sslhsic_transfer.data.labelled.segmentation import find_segmentation
from tools.pictures import write_ellipses

BCCD = Path(__file__).parents[1] / "pictures" / "bccd"


def test_ellipses_take_the_place_of_boxes(tmp_path):
    boxed = find_detection(BCCD, "train")
    write_ellipses(BCCD, "train", tmp_path)
    written = find_segmentation(tmp_path, "train")
    assert written.classes == ("background", *boxed.classes)
    assert len(written) == len(boxed)
    for index, entry in enumerate(sorted(boxed.pictures, key=lambda picture: picture.path.name)):
        mask = written.read_mask(index)
        assert mask.shape == entry.size[::-1]
        sides = entry.boxes[:, 2:] - entry.boxes[:, :2]
        smallest = sides.prod(axis=1).argmin()  # nothing lies over it
        x, y = ((entry.boxes[smallest, :2] + entry.boxes[smallest, 2:]) / 2).astype(int)
        assert mask[y, x] == entry.labels[smallest] + 1
        inside = np.zeros_like(mask, dtype=bool)
        for x1, y1, x2, y2 in entry.boxes.astype(int):
            inside[y1 : y2 + 2, x1 : x2 + 2] = True
        assert not mask[~inside].any()
        covered = (mask[inside] > 0).mean()
        assert 0.6 < covered < 0.95, "an ellipse fills π/4 of its box"
