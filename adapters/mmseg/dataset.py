"""Segmentation data of any supported layout, as a data set of mmsegmentation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from sslhsic_transfer.adapters.mmseg.transforms import with_our_readers
from sslhsic_transfer.data.labelled.segmentation import IGNORED, SegmentationData, find_segmentation
from sslhsic_transfer.errors import ConfigError


@DATASETS.register_module()
class SSLHSICDataset(BaseSegDataset):
    """The examples of `find_segmentation`, with the same classes and masks as in the other adapters.

    Its pipeline reads pictures and masks by ``dict(type="LoadSSLHSICPicture"), dict(type="LoadSSLHSICMask")``. They
    also replace mmseg's ``LoadImageFromFile`` and ``LoadAnnotations``, so that training and evaluation read alike.

    >>> DATASETS.build(dict(type="SSLHSICDataset", data_root="data/camvid", split="train", pipeline=[…]))

    Args:
        data_root: folder of the data set.
        split: the layout's name of the split.
        layout: one of `find_segmentation`, or "auto".
        mask_values: number of each class in the masks, as for `find_segmentation`; None: the layout's numbers.
        data: data that was already found, instead of these four.
        pipeline: mmseg's config of the steps that process an example.
        options: options of mmseg's ``BaseSegDataset``, such as ``test_mode``.

    Raises:
        ConfigError: there is neither a folder nor data, or there are both; or a reader of mmseg has options that its
            replacement lacks.
        DataError: as for `find_segmentation`.
    """

    def __init__(
        self,
        data_root: str | Path | None = None,
        split: str = "train",
        layout: str = "auto",
        *,
        mask_values: Sequence[int] | None = None,
        data: SegmentationData | None = None,
        pipeline: Sequence[Any] = (),
        **options: Any,
    ) -> None:
        if (data_root is None) == (data is None):
            raise ConfigError(f"Got data_root={data_root!r} and data={data!r}; expected one of them.")
        if data is None:
            data = find_segmentation(str(data_root), split, layout, mask_values=mask_values)
        self.data = data
        super().__init__(
            metainfo={"classes": self.data.classes},
            ignore_index=IGNORED,
            pipeline=with_our_readers(pipeline),
            **options,
        )

    def load_data_list(self) -> list[dict[str, Any]]:
        """Make one record for each example, with the paths of its files and its number."""
        common: dict[str, Any] = {"label_map": None, "reduce_zero_label": False, "seg_fields": []}
        return [
            {"img_path": str(picture), "seg_map_path": str(mask), "number": number, **common}
            for number, (picture, mask) in enumerate(self.data.pairs)
        ]

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """Return the record for the pipeline, with the data that reads its mask."""
        return {**super().get_data_info(idx), "segmentation": self.data}
