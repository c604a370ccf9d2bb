import numpy as np
import pytest
import torch
from mmseg.registry import MODELS
from PIL import Image

from sslhsic_transfer import Preprocessing, create_encoder
from sslhsic_transfer.adapters.mmseg import data_preprocessor


@pytest.mark.parametrize("numbers", [{}, {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.5, 0.3)}])
def test_real_pixels_become_the_encoders_input(digits, numbers):
    path = next((digits / "train" / "0").iterdir())
    with Image.open(path) as picture:
        square = picture.convert("RGB").crop((0, 0, 48, 48))
    preprocessing = Preprocessing(resize=48, crop=48, **numbers)
    encoder = create_encoder("resnet18", preprocessing=preprocessing)
    bgr = torch.from_numpy(np.ascontiguousarray(np.asarray(square)[..., ::-1].transpose(2, 0, 1)))
    found = MODELS.build(data_preprocessor(encoder))({"inputs": [bgr], "data_samples": None})["inputs"][0]
    torch.testing.assert_close(found, preprocessing.transform()(square), rtol=1e-5, atol=1e-5)


def test_small_pictures_are_padded_with_the_mean_and_ignored():
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    sample = SegDataSample(gt_sem_seg=PixelData(data=torch.zeros(1, 3, 4, dtype=torch.long)))
    build = MODELS.build(data_preprocessor(create_encoder("resnet18"), size=(6, 5)))
    batch = build({"inputs": [torch.full((3, 3, 4), 200, dtype=torch.uint8)], "data_samples": [sample]}, training=True)
    assert batch["inputs"].shape == (1, 3, 6, 5)
    assert (batch["inputs"][..., 3:, :] == 0).all()
    assert (batch["inputs"][..., :3, :4] != 0).all()
    mask = batch["data_samples"][0].gt_sem_seg.data
    assert (mask[:, :3, :4] == 0).all()
    assert (mask[:, 3:] == 255).all()


def test_a_name_does_as_well(model_folder):
    assert data_preprocessor(str(model_folder), (32, 32))["size"] == (32, 32)
