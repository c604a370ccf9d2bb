"""Comparison of two detectors, by matching each detection of one with its twin from the other."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.models.detection.roi_heads import paste_masks_in_image

from sslhsic_transfer.adapters.onnx.dense.network import DenseNetwork
from sslhsic_transfer.adapters.onnx.runtime.dense import OnnxDenseModel
from sslhsic_transfer.adapters.onnx.runtime.pictures import normalized
from sslhsic_transfer.adapters.onnx.verification import Check

TWINS = 0.98  # share of detections; those just at a threshold of score, overlap or number may differ
LEAST = 20  # detections over all pictures, for a meaningful comparison
_SCORE = 1e-3
_CORNER = 1e-3  # of the picture's long side
_MASK = 1e-3  # mean difference of probabilities in the picture


@dataclass
class Tally:
    """Counts of detections over pictures.

    Attributes:
        expected: number of the network's detections.
        found: number of the file's detections.
        twins: number of pairs with the same label, scores within 0.001, and corners within a thousandth of the
            picture's long side.
        corner: largest difference of a pair's corners, in pixels.
        score: largest difference of a pair's scores.
    """

    expected: int = 0
    found: int = 0
    twins: int = 0
    corner: float = 0.0
    score: float = 0.0

    @property
    def share(self) -> float:
        """Ratio of twins to the larger of the two counts; 1 if there are no detections at all."""
        return self.twins / max(self.expected, self.found) if max(self.expected, self.found) else 1.0

    def add(self, expected: dict[str, Any], found: dict[str, Any], longest: int) -> list[tuple[int, int]]:
        """Count a picture's detections and return the pairs of twins, as positions in the two.

        Args:
            expected: the network's ``"boxes"`` (N, 4), ``"scores"`` (N,), ``"labels"`` (N,).
            found: the same from the file.
            longest: the picture's long side in pixels.
        """
        self.expected += len(expected["scores"])
        self.found += len(found["scores"])
        free = np.ones(len(found["scores"]), bool)
        pairs = []
        for index in range(len(expected["scores"])):
            corners = np.abs(found["boxes"] - expected["boxes"][index]).max(axis=1, initial=0)
            scores = np.abs(found["scores"] - expected["scores"][index])
            alike = free & (found["labels"] == expected["labels"][index]) & (scores <= _SCORE)
            alike &= corners <= _CORNER * longest
            if alike.any():
                twin = int(np.where(alike, corners, np.inf).argmin())
                free[twin] = False
                self.twins += 1
                self.corner = max(self.corner, float(corners[twin]))
                self.score = max(self.score, float(scores[twin]))
                pairs.append((index, twin))
        return pairs


def compare_detections(
    runtime: OnnxDenseModel, dense: DenseNetwork, batches: Sequence[NDArray[np.uint8]]
) -> list[Check]:
    """Compare the detections of file and network in pictures.

    Args:
        runtime: the file.
        dense: the network, on the CPU, in eval mode.
        batches: pictures, each (1, H, W, 3).

    Returns:
        Checks of the share of detections with a twin, and of the largest differences between twins and their masks.
    """
    tally, masks = Tally(), 0.0
    for batch in batches:
        picture = batch[0]
        expected = detections(dense, picture)
        images = batch if runtime.info.input == "resized" else normalized(picture, runtime.info.preprocessing)[None]
        found = runtime.run(images)
        pairs = tally.add(expected, {**expected, **found}, max(picture.shape[:2]))
        if "masks" in found and pairs:
            pasted = _pasted(found, picture.shape[:2])
            masks = max(masks, max(float(np.abs(pasted[b] - expected["masks"][a]).mean()) for a, b in pairs))
    on = f"on {len(batches)} pictures"
    checks = [
        Check(f"detections {on}", tally.expected, None),
        Check("share of them that are the same", tally.share, TWINS),
        Check("largest difference of their corners in pixels", tally.corner, None),
        Check("largest difference of their scores", tally.score, None),
    ]
    if "masks" in runtime.info.outputs:
        checks.append(Check("largest mean difference of their masks", masks, _MASK, at_most=True))
    return checks


def detections(dense: DenseNetwork, picture: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """Compute a network's detections in a picture (H, W, 3) uint8, with labels counted from 0."""
    image = torch.from_numpy(picture.transpose(2, 0, 1).astype(np.float32) / np.float32(255))
    (found,) = dense.network([image])
    arrays = {name: tensor.numpy() for name, tensor in found.items()}
    return {**arrays, "labels": arrays["labels"] - dense.first_label}


def eager(dense: DenseNetwork) -> DenseNetwork:
    """Copy the network without a score threshold, so that every picture has detections to compare."""
    network = copy.deepcopy(dense.network)
    for part in network.modules():
        for name in ("score_thresh", "test_score_thresh"):
            if isinstance(getattr(part, name, None), float):
                setattr(part, name, 0.0)
    return replace(dense, network=network)


def _pasted(found: dict[str, Any], size: tuple[int, ...]) -> NDArray[np.float32]:
    masks, boxes = (torch.from_numpy(found[name]) for name in ("masks", "boxes"))
    pasted: NDArray[np.float32] = paste_masks_in_image(masks, boxes, (size[0], size[1])).numpy()
    return pasted
