"""Draw what an encoder sees, for the documentation: neighbors, feature maps as colors, objects, cells, depth.

python tools/pictures.py MODEL DATA [--output docs/pictures] [--dense RUNS [MORE …]]

Neighbors are bundled pictures of sign language digits (test pictures, then their nearest in the training split, framed
green where the digit is the same). Feature maps are of DATA/raccoon_det: each stage's first three principal components,
over all places of the pictures shown, as red, green and blue. With --dense, the folder of what benchmarks/transfer.py
has trained: test pictures of DATA/bccd and DATA/raccoon_det with their true boxes, and those found by detectors that
began with the encoder and with random weights. BCCD has boxes and no masks: ellipses in their place teach a segmentor,
again from both, which is trained for this (minutes) and kept in RUNS/cells. All pictures shown may be passed on
(Apache-2.0 and MIT). Those of DATA/redkitchen_depth may not: of its test pixels the joint distribution of measured and
predicted depth is drawn, for RUNS and for those of other encoders.
"""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from sslhsic_transfer import Encoder, from_pretrained
from sslhsic_transfer.data.image_folder import ImageFolder
from sslhsic_transfer.data.images import load_image, spread_indices
from sslhsic_transfer.data.labelled.depth import find_depth
from sslhsic_transfer.data.labelled.detection import BoxedPicture, find_detection
from sslhsic_transfer.data.labelled.segmentation import find_segmentation
from sslhsic_transfer.results import RESULTS_NAME, load_results
from sslhsic_transfer.sample import sign_digits
from sslhsic_transfer.transfer import load_transferred, transfer
from sslhsic_transfer.transfer.drawing import draw_boxes, draw_classes, side_by_side

TILE, FRAME, NEIGHBOURS = 72, 3, 8
SIDE = 256  # pixels of the pictures whose feature maps are drawn
STAGES = ("c2", "c3", "c4")
PANEL = 320  # the longer side of a picture with its boxes
METRES = 4.0  # depth of the room that is shown
SEGMENTOR = (
    *("precision=bf16", "workers=1", "warmup=20", "checkpoint_every=100", "test=test"),
    *("batch_size=8", "iterations=200", "crop=[192,224]", "scale=[0.75,1.5]"),
)
INITS = ("pretrained", "random")
DETECTORS = {"bccd-detectron2": "bccd", "raccoon-torchvision": "raccoon_det"}  # row of benchmarks/transfer.py -> data


def neighbors(encoder: Encoder) -> Image.Image:
    """Draw a row for each digit: a test picture, and the training pictures nearest to it by cosine."""
    sample = sign_digits()
    bank, queries = (ImageFolder.scan(root, labelled=True) for root in (sample.train, sample.test))
    chosen = [queries.labels.index(label) + 3 for label in range(0, len(queries.classes), 2)]
    rows = torch.nn.functional.normalize(encoder.embed([queries.paths[index] for index in chosen]))
    similarity = rows @ torch.nn.functional.normalize(encoder.embed(bank.paths)).T
    sheet = []
    for index, order in zip(chosen, similarity.argsort(dim=1, descending=True), strict=True):
        tiles = [_tile(queries.paths[index], "white")]
        for near in order[:NEIGHBOURS].tolist():
            same = bank.labels[near] == queries.labels[index]
            tiles.append(_tile(bank.paths[near], "#2ca02c" if same else "#d62728"))
        sheet.append(tiles)
    return side_by_side(sheet)


def _tile(path: Path, color: str) -> Image.Image:
    return ImageOps.expand(load_image(path).resize((TILE, TILE)), FRAME, color)


def components(encoder: Encoder, paths: list[Path]) -> Image.Image:
    """Draw a row for each picture: itself, and its feature maps as colors."""
    pictures = [ImageOps.fit(load_image(path), (SIDE, SIDE)) for path in paths]
    preprocessing = encoder.preprocessing.model_copy(update={"resize": SIDE, "crop": SIDE})
    batch = torch.stack([preprocessing.transform()(picture) for picture in pictures])
    with torch.inference_mode():
        maps = encoder.feature_maps(batch, stages=STAGES)
    columns = [pictures, *(_as_colors(maps[stage]) for stage in STAGES)]
    return side_by_side(list(zip(*columns, strict=True)))


def _as_colors(maps: torch.Tensor) -> list[Image.Image]:
    """Turn (B, C, H, W) maps into B pictures of the first three principal components."""
    places = maps.permute(0, 2, 3, 1).flatten(0, 2)
    centered = places - places.mean(0)
    _, _, directions = torch.linalg.svd(centered, full_matrices=False)
    colors = centered @ directions[:3].T
    low, high = colors.quantile(torch.tensor([0.02, 0.98]), dim=0)
    colors = (255 * (colors - low) / (high - low)).clamp(0, 255).byte()
    shape = (len(maps), *maps.shape[-2:], 3)
    drawn = [Image.fromarray(picture.numpy()) for picture in colors.reshape(shape)]
    return [picture.resize((SIDE, SIDE), Image.Resampling.NEAREST) for picture in drawn]


def detections(runs: Path, data: Path) -> Image.Image:
    """Draw a row for each test picture: true boxes, those found from the encoder's weights, and from random ones."""
    sheet = []
    for row, folder in DETECTORS.items():
        test = find_detection(data / folder, "test")
        models = [load_transferred(runs / row / f"{init}-0" / "model") for init in INITS]
        for index in spread_indices(len(test), 4)[1:3]:
            entry = test.pictures[index]
            picture = load_image(entry.path)
            panels = [draw_boxes(picture, entry.truth, test.classes, scores=False)]
            panels += [draw_boxes(picture, model.predict(picture), test.classes) for model in models]
            sheet.append([ImageOps.contain(panel, (PANEL, PANEL)) for panel in panels])
    return side_by_side(sheet)


def segmentations(model: str, runs: Path, data: Path) -> Image.Image:
    """Draw a row for each test picture: itself, its ellipses, and what both networks found."""
    folder = runs / "cells" / "data"
    for split in ("train", "test"):
        write_ellipses(data / "bccd", split, folder)
    for init in INITS:
        transfer("segmentation", model, folder, runs / "cells" / init, init=init, overrides=SEGMENTOR, resume=True)
    test = find_segmentation(folder, "test")
    models = [load_transferred(runs / "cells" / init / "model") for init in INITS]
    sheet = []
    for index in spread_indices(len(test), 4)[1:3]:
        picture = load_image(test.pairs[index][0])
        maps = [test.read_mask(index), *(model.predict(picture) for model in models)]
        panels = [picture, *(_laid_over(picture, classes, len(test.classes)) for classes in maps)]
        sheet.append([ImageOps.contain(panel, (PANEL, PANEL)) for panel in panels])
    return side_by_side(sheet)


def _laid_over(picture: Image.Image, classes: NDArray[np.uint8], count: int) -> Image.Image:
    """Lay all classes but the first, in colors, over the picture."""
    blended = Image.blend(picture, draw_classes(classes, count), 0.6)
    return Image.composite(blended, picture, Image.fromarray((classes > 0).astype(np.uint8) * 255))


def write_ellipses(source: Path, split: str, target: Path) -> None:
    """Turn a detection split into segmentation: an ellipse fills each box, small ones over large ones."""
    boxed = find_detection(source, split)
    images, masks = (target / kind / split for kind in ("images", "masks"))
    for folder in (images, masks):
        folder.mkdir(parents=True, exist_ok=True)
    for entry in boxed.pictures:
        shutil.copy(entry.path, images)
        _ellipses(entry).save(masks / f"{entry.path.stem}.png")
    (target / "classes.txt").write_text("\n".join(["background", *boxed.classes]), encoding="utf-8")


def _ellipses(entry: BoxedPicture) -> Image.Image:
    mask = Image.new("L", entry.size)
    draw = ImageDraw.Draw(mask)
    areas = (entry.boxes[:, 2:] - entry.boxes[:, :2]).prod(axis=1)
    for number in (-areas).argsort(kind="stable"):
        draw.ellipse(entry.boxes[number].tolist(), fill=int(entry.labels[number]) + 1)
    return mask


def depths(runs: Sequence[Path], data: Path) -> Figure:
    """Draw for each network how often pairs of measured and predicted depth occur; equal ones lie on a line."""
    test = find_depth(data / "redkitchen_depth", "test")
    measured = [test.read_depth(index) for index in range(len(test))]
    known = [depth > 0 for depth in measured]
    folders = [run / "redkitchen" / f"{init}-0" for run in runs for init in INITS]
    figure = Figure(figsize=(3.1 * len(folders), 3.2), layout="constrained")
    for axes, folder in zip(figure.subplots(1, len(folders), sharex=True, sharey=True), folders, strict=True):
        model = load_transferred(folder / "model")
        predicted = [model.predict(test.read_picture(index)) for index in range(len(test))]
        pairs = [np.concatenate([d[k] for d, k in zip(depth, known, strict=True)]) for depth in (measured, predicted)]
        axes.hist2d(*pairs, bins=90, range=[[0.5, METRES]] * 2, norm=LogNorm(), cmap="magma_r", rasterized=True)
        axes.plot([0.5, METRES], [0.5, METRES], color="#1f77b4", linewidth=1)
        (rmse,) = (result.figure() for result in load_results(folder / RESULTS_NAME) if result.metric == "rmse")
        axes.set_title(f"{model.config.initial_weights}: RMSE {rmse} m", loc="left", fontsize=9)
        axes.set_xlabel("measured, m")
        axes.set_aspect("equal")
    figure.axes[0].set_ylabel("predicted, m")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--output", type=Path, default=Path(__file__).parents[1] / "docs/pictures")
    parser.add_argument("--dense", type=Path, nargs="+", metavar="RUNS")
    options = parser.parse_args()
    encoder = from_pretrained(options.model)
    options.output.mkdir(parents=True, exist_ok=True)
    found = ImageFolder.scan(options.data / "raccoon_det/VOC2007/JPEGImages").paths
    neighbors(encoder).save(options.output / "neighbors.jpg", quality=88)
    components(encoder, [found[index] for index in spread_indices(len(found), 4)]).save(
        options.output / "components.jpg", quality=88
    )
    if options.dense:
        runs = options.dense[0]
        detections(runs, options.data).save(options.output / "detections.jpg", quality=88)
        cells = segmentations(options.model, runs, options.data)
        cells.save(options.output / "segmentations.jpg", quality=88)
        depths(options.dense, options.data).savefig(options.output / "depths.png", dpi=100)


if __name__ == "__main__":
    main()
