"""Pictures that frameworks' own readers read otherwise than ours, or might."""

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (96, 64)  # width, height once upright; multiples of any network's stride
NAMES = (
    "gray16.png",
    "float.tif",
    "gray_alpha.png",
    "palette_clear.png",
    "cmyk.jpg",
    "turned.jpg",
    "turned16.png",
    "one_bit.png",
    "alpha.png",
)


def write_odd_picture(path: Path) -> Path:
    """Write one whose kind its name tells: smooth, and other than its mirror image and all others."""
    width, height = SIZE
    brightness = 1 - 0.05 * NAMES.index(path.name)
    x, y = (brightness * axis for axis in np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height)))
    gray = 0.2 + 0.5 * x + 0.3 * y * x
    colors = Image.fromarray((np.stack([gray, 1 - x, y], axis=-1) * 255).astype(np.uint8))
    alpha = Image.fromarray((255 * y).astype(np.uint8))
    exif = Image.Exif()
    exif[274] = 6  # to be turned clockwise
    if path.name == "gray16.png":
        Image.fromarray((gray * 65535).astype(np.uint16)).save(path)
    elif path.name == "float.tif":
        Image.fromarray(gray.astype(np.float32)).save(path)
    elif path.name == "gray_alpha.png":
        Image.merge("LA", [colors.getchannel(0), alpha]).save(path)
    elif path.name == "palette_clear.png":
        colors.quantize(16).save(path, transparency=3)
    elif path.name == "cmyk.jpg":
        colors.convert("CMYK").save(path, quality=95)
    elif path.name == "turned.jpg":
        colors.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=95)
    elif path.name == "turned16.png":
        turned = np.ascontiguousarray(np.rot90((gray * 65535).astype(np.uint16)))
        Image.fromarray(turned).save(path, exif=exif)
    elif path.name == "one_bit.png":
        Image.fromarray(gray > 0.5).save(path)
    else:
        colors.putalpha(alpha)
        colors.save(path)
    return path


def noting_inputs(monkeypatch, backbone: type) -> dict[bool, list]:
    """Note the pictures that a class of backbones receives: in training under True, in evaluation under False."""
    seen = {True: [], False: []}
    forward = backbone.forward

    def noting(self, images):
        seen[self.training].extend(image.clone() for image in images)
        return forward(self, images)

    monkeypatch.setattr(backbone, "forward", noting)
    return seen
