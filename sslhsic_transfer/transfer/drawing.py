"""Drawing of predictions next to the ground truth."""

import colorsys
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torchvision.utils import draw_bounding_boxes

from sslhsic_transfer._lazy import optional_import
from sslhsic_transfer.data.labelled.detection import Boxes
from sslhsic_transfer.data.labelled.segmentation import IGNORED

_LEAST_SCORE = 0.5  # lowest score of boxes that are drawn
_GAP = 4  # pixels between panels
_LINE = 16  # pixels of height for a line of text
_MOST_LIKELY = 3  # number of classes that are listed


def side_by_side(rows: Sequence[Sequence[Image.Image]]) -> Image.Image:
    """Draw a sheet of panels, one row for each example; panels in a column may differ in size."""
    widths = [max(row[column].width for row in rows) for column in range(len(rows[0]))]
    heights = [max(panel.height for panel in row) for row in rows]
    sheet = Image.new(
        "RGB", (sum(widths) + _GAP * (len(widths) - 1), sum(heights) + _GAP * (len(heights) - 1)), "white"
    )
    for r, row in enumerate(rows):
        for c, panel in enumerate(row):
            sheet.paste(panel, (sum(widths[:c]) + _GAP * c, sum(heights[:r]) + _GAP * r))
    return sheet


def draw_scores(scores: NDArray[np.float32], classes: Sequence[str], truth: int) -> Image.Image:
    """Draw the most likely classes as text, the right one in green; if it is not among them, add it last.

    Args:
        scores: (C,) probabilities.
        classes: the names of the classes.
        truth: the number of the right class.
    """
    listed = np.argsort(-scores, kind="stable")[:_MOST_LIKELY].tolist()
    listed += [truth] if truth not in listed else []
    panel = Image.new("RGB", (220, _LINE * len(listed) + 8), "white")
    draw, font = ImageDraw.Draw(panel), ImageFont.load_default(size=12)
    for row, number in enumerate(listed):
        color = "#1a7f37" if number == truth else "black"
        draw.text((6, 4 + _LINE * row), f"{scores[number]:4.0%}  {classes[number][:28]}", fill=color, font=font)
    return panel


def draw_classes(classes: NDArray[np.uint8], count: int) -> Image.Image:
    """Draw a map of classes in colors; ignored pixels are black.

    Args:
        classes: (H, W).
        count: number of classes.
    """
    colors = np.zeros((256, 3), dtype=np.uint8)
    colors[:count] = _palette(count)
    colors[IGNORED] = 0
    return Image.fromarray(colors[classes])


def draw_boxes(picture: Image.Image, found: Boxes, classes: Sequence[str], *, scores: bool = True) -> Image.Image:
    """Draw boxes on a picture in the colors of their classes; of predictions, only those that score at least 0.5."""
    kept = found.scores >= _LEAST_SCORE
    if not kept.any():
        return picture
    palette = [tuple(int(value) for value in color) for color in _palette(len(classes))]
    labels = [
        f"{classes[label]} {score:.2f}" if scores else classes[label]
        for label, score in zip(found.labels[kept], found.scores[kept], strict=True)
    ]
    drawn = draw_bounding_boxes(
        torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1),
        torch.from_numpy(found.boxes[kept]),
        labels,
        [palette[label] for label in found.labels[kept]],
        width=2,
    )
    return Image.fromarray(drawn.permute(1, 2, 0).numpy())


def draw_depth(depth: NDArray[np.float32], nearest: float, farthest: float) -> Image.Image:
    """Draw depth in colors, near bright and far dark; pixels without a measurement are black.

    Args:
        depth: (H, W) depth in meters, 0 where nothing was measured.
        nearest: depth of the brightest color, in meters.
        farthest: depth of the darkest color, in meters.
    """
    colormaps = optional_import("matplotlib", extra="transfer", purpose="Colors of depth").colormaps
    share = (farthest - depth) / max(farthest - nearest, 1e-6)
    colors = (255 * colormaps["magma"](np.clip(share, 0.05, 1.0))[..., :3]).astype(np.uint8)
    colors[depth <= 0] = 0
    return Image.fromarray(colors)


def _palette(count: int) -> NDArray[np.uint8]:
    """Return distinct colors: hues spaced by the golden angle, at two brightnesses."""
    colors = [colorsys.hsv_to_rgb(number * 0.381966 % 1, 0.65, 0.7 if number % 2 else 0.92) for number in range(count)]
    return np.asarray(np.asarray(colors) * 255, dtype=np.uint8)
