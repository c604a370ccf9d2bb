"""Segmentation data of any layout that our readers know, as a dataset of mmsegmentation."""

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
    """The examples of `find_segmentation`, with the same classes and masks as in our other adapters.

    Its pipeline reads pictures and masks by ``dict(type="LoadSSLHSICPicture"), dict(type="LoadSSLHSICMask")``, which
    stand in for mmseg's ``LoadImageFromFile`` and ``LoadAnnotations`` as well: what trains is read as it is evaluated.

    >>> DATASETS.build(dict(type="SSLHSICDataset", data_root="data/camvid", split="train", pipeline=[…]))

    Args:
        data_root: folder of the data set.
        split: what the layout calls the part.
        layout: one of `find_segmentation`, or "auto".
        mask_values: number of each class in the masks, as for `find_segmentation`; None: as the layout has it.
        data: in place of these four: data that was found already.
        pipeline: what happens to an example, as mmseg configures it.
        options: of mmseg's ``BaseSegDataset``, such as ``test_mode``.

    Raises:
        ConfigError: neither a folder nor data, or both; or a reader of mmseg's with options that ours does not have.
        DataError: as `find_segmentation`.
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
        """One record an example: where its files are, and its number."""
        common: dict[str, Any] = {"label_map": None, "reduce_zero_label": False, "seg_fields": []}
        return [
            {"img_path": str(picture), "seg_map_path": str(mask), "number": number, **common}
            for number, (picture, mask) in enumerate(self.data.pairs)
        ]

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """The record that goes through the pipeline, with what reads its mask."""
        return {**super().get_data_info(idx), "segmentation": self.data}
