"""Detectron2's mapper from a data set's entries to a network's input, with this library's reader of pictures."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import sslhsic_transfer.adapters.detectron2.compat  # noqa: F401 - before Detectron2

# isort: split
import torch
from detectron2.data import DatasetMapper, detection_utils, transforms
from numpy.typing import NDArray

from sslhsic_transfer.adapters.detectron2.addresses import PREFIX, local_path
from sslhsic_transfer.data.images import load_image
from sslhsic_transfer.data.labelled.masks import read_values
from sslhsic_transfer.errors import ConfigError, DataError

_FORMATS = ("RGB", "BGR")


class PictureMapper(DatasetMapper):
    """A `DatasetMapper` that reads pictures by `load_image`, as the evaluation of the same models does.

    It also transforms everything else that Detectron2's mapper does: boxes, masks of objects as polygons or bits,
    keypoints, precomputed proposals and semantic labels. ``pan_seg_file_name`` and ``segments_info`` are left
    unchanged, too. An entry that lacks what the settings ask for is an error; Detectron2's own mapper ignores it, or
    fails without the file's name.

    >>> build_detection_test_loader(cfg, "my_data", mapper=PictureMapper(cfg, is_train=False))

    Args:
        arguments: positional arguments of `DatasetMapper`: a configuration and ``is_train``.
        options: keyword arguments of `DatasetMapper`.

    Raises:
        ConfigError: INPUT.FORMAT is neither RGB nor BGR.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if self.image_format not in _FORMATS:
            raise ConfigError(f"INPUT.FORMAT: got {self.image_format!r}; expected {' or '.join(_FORMATS)}.")

    def __call__(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Prepare one picture, (3, H, W) uint8 in INPUT.FORMAT, with its annotations.

        Raises:
            ImageError: the picture cannot be read.
            DataError: the size of the picture or of its semantic labels differs from its entry's, or annotations are
                damaged.
            ConfigError: the settings ask for something that the entry lacks.
        """
        made = copy.deepcopy(dict(entry))  # the original belongs to the data set
        made["file_name"] = made["file_name"].removeprefix(PREFIX)
        pixels = np.asarray(load_image(local_path(made["file_name"])))
        height, width = pixels.shape[:2]
        told = made.setdefault("width", width), made.setdefault("height", height)
        if told != (width, height):
            raise DataError(
                f"{made['file_name']} has {width} × {height} pixels, its annotations say {told[0]} × {told[1]}; "
                "expected the same size."
            )
        labels = made.pop("sem_seg_file_name", None)
        changed = transforms.AugInput(
            pixels[..., ::-1] if self.image_format == "BGR" else pixels,
            sem_seg=None if labels is None else _semantic_labels(labels, made),
        )
        applied = self.augmentations(changed)
        shape = changed.image.shape[:2]
        made["image"] = torch.as_tensor(np.ascontiguousarray(changed.image.transpose(2, 0, 1)))
        if changed.sem_seg is not None:
            made["sem_seg"] = torch.as_tensor(changed.sem_seg.astype("long"))
        if self.proposal_topk is not None:
            _require_proposals(made)
            detection_utils.transform_proposals(made, shape, applied, proposal_topk=self.proposal_topk)
        if self.is_train and "annotations" in made:
            self._add_instances(made, applied, shape)
        made.pop("annotations", None)
        return made

    def _add_instances(self, made: dict[str, Any], applied: Any, shape: tuple[int, int]) -> None:
        self._require_annotations(made)
        try:
            self._transform_annotations(made, applied, shape)
        except (AssertionError, IndexError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"The annotations of {made['file_name']} cannot be used ({type(error).__name__}: {error}); expected "
                "those of Detectron2's data sets."
            ) from error

    def _require_annotations(self, made: Mapping[str, Any]) -> None:
        """Check that objects have the masks or keypoints that the settings ask for.

        Raises:
            DataError, ConfigError: some are missing; the message names them and the settings.
        """
        wanted = {
            "segmentation": (self.use_instance_mask, "MODEL.MASK_ON (use_instance_mask)"),
            "keypoints": (self.use_keypoint, "MODEL.KEYPOINT_ON (use_keypoint)"),
        }
        objects = [item for item in made["annotations"] if not item.get("iscrowd", 0)]
        for name, (asked, setting) in wanted.items():
            if asked and (without := sum(name not in item for item in objects)):
                raise DataError(
                    f"{without} of {len(objects)} objects in {made['file_name']} have no {name}, which {setting} asks "
                    "for: annotate them, leave the picture out, or turn the setting off."
                )
        masks = self.use_instance_mask and self.instance_mask_format == "polygon"
        if masks and any(isinstance(item["segmentation"], dict) for item in objects):
            raise ConfigError(
                f"INPUT.MASK_FORMAT (instance_mask_format): got polygon, but {made['file_name']} has masks as run "
                "lengths (RLE); expected bitmask."
            )


def _semantic_labels(path: str, made: Mapping[str, Any]) -> NDArray[Any]:
    """Read class numbers, (H, W), in a type that Detectron2 can resize.

    Raises:
        DataError: they cannot be read, or have another size than the picture.
    """
    values = read_values(Path(local_path(path)))
    height, width = values.shape
    if (width, height) != (made["width"], made["height"]):
        raise DataError(
            f"{made['file_name']} has {made['width']} × {made['height']} pixels, its semantic labels {path} "
            f"{width} × {height}; expected the same size."
        )
    return values.astype(np.uint8 if values.max(initial=0) <= 255 else np.float32)


def _require_proposals(made: Mapping[str, Any]) -> None:
    if "proposal_boxes" not in made:
        raise ConfigError(
            f"MODEL.LOAD_PROPOSALS: got True, but there are no proposals for {made['file_name']}; expected them in "
            "the files of DATASETS.PROPOSAL_FILES_TRAIN and _TEST."
        )
