import numpy as np
import pytest
from PIL import Image

from sslhsic_transfer.data.images import load_image

transforms = pytest.importorskip("sslhsic_transfer.adapters.mmseg.transforms")


@pytest.mark.parametrize("name", ["grey16.png", "float.tif", "turned.jpg", "grey_alpha.png", "cmyk.jpg"])
def test_pictures_are_read_as_everywhere_else(tmp_path, name):
    grey = np.add.outer(np.arange(6), np.arange(9)).astype(np.uint8) * 17
    exif = Image.Exif()
    exif[274] = 6
    if name == "grey16.png":
        Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / name)
    elif name == "float.tif":
        Image.fromarray(grey.astype(np.float32) / 255).save(tmp_path / name)
    elif name == "turned.jpg":
        Image.fromarray(grey).save(tmp_path / name, exif=exif)
    else:
        Image.fromarray(grey).convert("LA" if name == "grey_alpha.png" else "RGB").convert(
            "LA" if name == "grey_alpha.png" else "CMYK"
        ).save(tmp_path / name)
    read = transforms.LoadSSLHSICPicture().transform({"img_path": str(tmp_path / name)})
    np.testing.assert_array_equal(read["img"][..., ::-1], np.asarray(load_image(tmp_path / name)))
    assert read["img_shape"] == read["ori_shape"] == read["img"].shape[:2]
