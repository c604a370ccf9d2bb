"""A small picture in every format that is read here."""

import struct
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

SIZE = (24, 20)


def samples() -> dict[str, bytes]:
    """Names and contents: of formats that Pillow writes by its means, of others by their simplest form."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    colors = Image.fromarray(pixels).resize(SIZE, Image.Resampling.BICUBIC)
    gray = colors.convert("L")
    deep = Image.fromarray(np.asarray(gray).astype(np.uint16) * 257)
    other = colors.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    exif = Image.Exif()
    exif[274] = 6
    moving: dict[str, Any] = {"save_all": True, "append_images": [other], "duration": 10}
    forms: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
        "JPEG": (colors, "JPEG", {"exif": exif}),
        "progressive JPEG": (colors, "JPEG", {"progressive": True, "icc_profile": bytes(200)}),
        "JPEG for print": (colors.convert("CMYK"), "JPEG", {}),
        "MPO": (colors, "MPO", {"save_all": True, "append_images": [other]}),
        "PNG": (colors.convert("RGBA"), "PNG", {"exif": exif}),
        "PNG of 16 bits": (deep, "PNG", {}),
        "PNG with a palette": (colors.convert("P"), "PNG", {"transparency": 3, "icc_profile": bytes(200)}),
        "moving PNG": (colors, "PNG", moving),
        "WebP": (colors, "WEBP", {"exif": exif}),
        "lossless WebP": (colors.convert("RGBA"), "WEBP", {"lossless": True}),
        "moving WebP": (colors, "WEBP", moving),
        "AVIF": (colors, "AVIF", {"exif": exif}),
        "moving AVIF": (colors, "AVIF", moving),
        "JPEG 2000": (colors, "JPEG2000", {}),
        "tiled JPEG 2000": (colors.convert("RGBA"), "JPEG2000", {"tile_size": (8, 8), "num_resolutions": 2}),
        "TIFF": (colors, "TIFF", {"exif": exif}),
        "TIFF by LZW": (colors, "TIFF", {"compression": "tiff_lzw"}),
        "TIFF by JPEG": (colors, "TIFF", {"compression": "jpeg"}),
        "TIFF by deflate": (deep, "TIFF", {"compression": "tiff_adobe_deflate"}),
        "TIFF of one bit": (gray.convert("1"), "TIFF", {"compression": "group4"}),
        "floating TIFF": (gray.convert("F"), "TIFF", {}),
        "GIF": (colors, "GIF", {}),
        "moving GIF": (colors, "GIF", moving),
        "BMP": (colors, "BMP", {}),
        "BMP with a palette": (colors.convert("P"), "BMP", {}),
        "ICO": (colors.convert("RGBA"), "ICO", {"sizes": [(16, 16), SIZE]}),
        "ICO of BMP": (colors, "ICO", {"sizes": [SIZE], "bitmap_format": "bmp"}),
        "TGA": (colors, "TGA", {"compression": "tga_rle"}),
        "PCX": (colors, "PCX", {}),
        "PPM": (colors, "PPM", {}),
        "PGM of 16 bits": (deep, "PPM", {}),
        "SGI": (colors, "SGI", {}),
        "DDS": (colors, "DDS", {}),
        "DDS by blocks": (colors.convert("RGBA"), "DDS", {"pixel_format": "DXT5"}),
        "IM": (colors, "IM", {}),
        "MSP": (gray.convert("1"), "MSP", {}),
        "XBM": (gray.convert("1"), "XBM", {}),
        "SPIDER": (gray.convert("F"), "SPIDER", {}),
        "BLP": (colors.convert("P"), "BLP", {}),
        "QOI": (colors, "QOI", {}),
    }
    Image.init()
    found = {}
    for name, (image, kind, options) in forms.items():
        if kind in Image.SAVE or kind in Image.SAVE_ALL:
            content = BytesIO()
            image.save(content, kind, **options)
            found[name] = content.getvalue()
    return found | _others(colors, gray)


def _others(colors: Image.Image, gray: Image.Image) -> dict[str, bytes]:
    """Return files of formats that Pillow only reads."""
    width, height = SIZE
    planes = b"".join(band.tobytes() for band in colors.split())
    header = "".join(
        f"{card:<80}"
        for card in ("SIMPLE  = T", "BITPIX  = 8", "NAXIS   = 2", f"NAXIS1  = {width}", f"NAXIS2  = {height}", "END")
    )
    rows = ",\n".join('"' + "ab"[row % 2] * width + '"' for row in range(height))
    xpm = f'/* XPM */\nstatic char *a[] = {{\n"{width} {height} 2 1",\n"a c #ff0000",\n"b c #00ff00",\n{rows}\n}};\n'
    small = BytesIO()
    colors.resize((16, 16)).save(small, "PNG")
    icon = b"icp4" + struct.pack(">I", 8 + len(small.getvalue())) + small.getvalue()
    return {
        "ICNS": b"icns" + struct.pack(">I", 8 + len(icon)) + icon,
        "PSD": b"8BPS" + struct.pack(">H6xHIIHHIIIH", 1, 3, height, width, 8, 3, 0, 0, 0, 0) + planes,
        "SUN": struct.pack(">8I", 0x59A66A95, width, height, 24, width * height * 3, 1, 0, 0) + colors.tobytes(),
        "FITS": header.encode().ljust(2880) + gray.tobytes(),
        "XPM": xpm.encode(),
    }
