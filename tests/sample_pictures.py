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
    colours = Image.fromarray(pixels).resize(SIZE, Image.Resampling.BICUBIC)
    grey = colours.convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    other = colours.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    exif = Image.Exif()
    exif[274] = 6
    moving: dict[str, Any] = {"save_all": True, "append_images": [other], "duration": 10}
    forms: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
        "JPEG": (colours, "JPEG", {"exif": exif}),
        "progressive JPEG": (colours, "JPEG", {"progressive": True, "icc_profile": bytes(200)}),
        "JPEG for print": (colours.convert("CMYK"), "JPEG", {}),
        "MPO": (colours, "MPO", {"save_all": True, "append_images": [other]}),
        "PNG": (colours.convert("RGBA"), "PNG", {"exif": exif}),
        "PNG of 16 bits": (deep, "PNG", {}),
        "PNG with a palette": (colours.convert("P"), "PNG", {"transparency": 3, "icc_profile": bytes(200)}),
        "moving PNG": (colours, "PNG", moving),
        "WebP": (colours, "WEBP", {"exif": exif}),
        "lossless WebP": (colours.convert("RGBA"), "WEBP", {"lossless": True}),
        "moving WebP": (colours, "WEBP", moving),
        "AVIF": (colours, "AVIF", {"exif": exif}),
        "moving AVIF": (colours, "AVIF", moving),
        "JPEG 2000": (colours, "JPEG2000", {}),
        "tiled JPEG 2000": (colours.convert("RGBA"), "JPEG2000", {"tile_size": (8, 8), "num_resolutions": 2}),
        "TIFF": (colours, "TIFF", {"exif": exif}),
        "TIFF by LZW": (colours, "TIFF", {"compression": "tiff_lzw"}),
        "TIFF by JPEG": (colours, "TIFF", {"compression": "jpeg"}),
        "TIFF by deflate": (deep, "TIFF", {"compression": "tiff_adobe_deflate"}),
        "TIFF of one bit": (grey.convert("1"), "TIFF", {"compression": "group4"}),
        "floating TIFF": (grey.convert("F"), "TIFF", {}),
        "GIF": (colours, "GIF", {}),
        "moving GIF": (colours, "GIF", moving),
        "BMP": (colours, "BMP", {}),
        "BMP with a palette": (colours.convert("P"), "BMP", {}),
        "ICO": (colours.convert("RGBA"), "ICO", {"sizes": [(16, 16), SIZE]}),
        "ICO of BMP": (colours, "ICO", {"sizes": [SIZE], "bitmap_format": "bmp"}),
        "TGA": (colours, "TGA", {"compression": "tga_rle"}),
        "PCX": (colours, "PCX", {}),
        "PPM": (colours, "PPM", {}),
        "PGM of 16 bits": (deep, "PPM", {}),
        "SGI": (colours, "SGI", {}),
        "DDS": (colours, "DDS", {}),
        "DDS by blocks": (colours.convert("RGBA"), "DDS", {"pixel_format": "DXT5"}),
        "IM": (colours, "IM", {}),
        "MSP": (grey.convert("1"), "MSP", {}),
        "XBM": (grey.convert("1"), "XBM", {}),
        "SPIDER": (grey.convert("F"), "SPIDER", {}),
        "BLP": (colours.convert("P"), "BLP", {}),
        "QOI": (colours, "QOI", {}),
    }
    Image.init()
    found = {}
    for name, (image, kind, options) in forms.items():
        if kind in Image.SAVE or kind in Image.SAVE_ALL:
            content = BytesIO()
            image.save(content, kind, **options)
            found[name] = content.getvalue()
    return found | _others(colours, grey)


def _others(colours: Image.Image, grey: Image.Image) -> dict[str, bytes]:
    """Of formats that Pillow only reads."""
    width, height = SIZE
    planes = b"".join(band.tobytes() for band in colours.split())
    header = "".join(
        f"{card:<80}"
        for card in ("SIMPLE  = T", "BITPIX  = 8", "NAXIS   = 2", f"NAXIS1  = {width}", f"NAXIS2  = {height}", "END")
    )
    rows = ",\n".join('"' + "ab"[row % 2] * width + '"' for row in range(height))
    xpm = f'/* XPM */\nstatic char *a[] = {{\n"{width} {height} 2 1",\n"a c #ff0000",\n"b c #00ff00",\n{rows}\n}};\n'
    small = BytesIO()
    colours.resize((16, 16)).save(small, "PNG")
    icon = b"icp4" + struct.pack(">I", 8 + len(small.getvalue())) + small.getvalue()
    return {
        "ICNS": b"icns" + struct.pack(">I", 8 + len(icon)) + icon,
        "PSD": b"8BPS" + struct.pack(">H6xHIIHHIIIH", 1, 3, height, width, 8, 3, 0, 0, 0, 0) + planes,
        "SUN": struct.pack(">8I", 0x59A66A95, width, height, 24, width * height * 3, 1, 0, 0) + colours.tobytes(),
        "FITS": header.encode().ljust(2880) + grey.tobytes(),
        "XPM": xpm.encode(),
    }
