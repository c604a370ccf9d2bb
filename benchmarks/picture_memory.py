"""Memory that one picture takes at most, by its format: reading and resizing alone, and the command that embeds.

python benchmarks/picture_memory.py [--megapixels N] [--embed N] [--output DIR] [--note TEXT]

Each picture is read in a process of its own, which has read a tiny one of the same kind before; what counts is how far
its resident memory rises, over the number of pixels. A JPEG of --embed million pixels is then embedded by
`sslhsic embed` with an untrained ResNet-18, and a tiny one before it; 0 leaves that out. Writes picture-memory.json.
Linux only; a minute.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.pop(0)  # this file's folder, whose onnx.py would stand for the package of that name
sys.path.append(str(Path(__file__).resolve().parents[1]))

import numpy as np
import PIL
from PIL import Image

from benchmarks import reports
from sslhsic_transfer._files import write_json
from sslhsic_transfer.results import stamp

# Kind of picture -> suffix, mode, options of writing.
KINDS: Mapping[str, tuple[str, str, dict[str, Any]]] = {
    "JPEG": ("jpg", "RGB", {}),
    "JPEG, turned": ("jpg", "RGB", {"turned": True}),
    "JPEG, CMYK": ("jpg", "CMYK", {}),
    "PNG": ("png", "RGB", {}),
    "PNG, transparent": ("png", "RGBA", {}),
    "PNG, 16 bits": ("png", "I;16", {}),
    "TIFF": ("tif", "RGB", {}),
    "BMP": ("bmp", "RGB", {}),
    "GIF": ("gif", "P", {}),
    "AVIF": ("avif", "RGB", {"speed": 10}),
    "WebP": ("webp", "RGB", {"method": 0}),
    "JPEG 2000": ("jp2", "RGB", {}),
}
GROUPS: Mapping[str, Sequence[str]] = {
    "JPEG, PNG, TIFF, BMP, GIF of 8 or 16 bits, with or without transparency": list(KINDS)[:9],
    **{name: [name] for name in ("AVIF", "WebP", "JPEG 2000")},
}


def write(kind: str, side: int, folder: Path) -> Path:
    """Make a smooth square picture."""
    suffix, mode, options = KINDS[kind]
    options = dict(options)
    ramp = np.linspace(0, 255, side, dtype=np.uint8)
    grey = Image.fromarray(np.broadcast_to(ramp, (side, side)))
    picture = (
        Image.fromarray(np.asarray(grey, np.uint16) * 257) if mode == "I;16" else grey.convert("RGB").convert(mode)
    )
    if options.pop("turned", False):
        options["exif"] = Image.Exif()
        options["exif"][274] = 6
    path = folder / f"{kind.replace(' ', '_')}-{side}.{suffix}"
    picture.save(path, **options)
    return path


def resident(peak: bool = False) -> int:
    """Bytes of memory that this process holds, or held at most since the peak was forgotten."""
    name = "VmHWM" if peak else "VmRSS"
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def growth(work: Callable[[Path], object], tiny: Path, large: Path) -> int:
    """Bytes by which this process grows at most; a tiny picture first brings what the work needs once."""
    work(tiny)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = resident()
    work(large)
    return resident(peak=True) - before


def in_a_child(*arguments: str) -> int:
    """Run this file in a process of its own, and return what it prints."""
    done = subprocess.run([sys.executable, __file__, *arguments], check=True, capture_output=True, text=True)
    return int(json.loads(done.stdout))


def embedding(path: Path, model: Path) -> int:
    """Bytes that `sslhsic embed` holds at most for a folder of one picture."""
    code = "import sys; from sslhsic_transfer.cli import main; main()"
    command = [sys.executable, "-c", code, "embed", str(model), str(path.parent), "--workers", "0"]
    with subprocess.Popen([*command, "--output", str(path.parent / "out.parquet")]) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"sslhsic embed ended with {process.returncode}")
    return usage.ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, default=9)
    parser.add_argument("--embed", type=float, default=127.9, help="million pixels of the picture that is embedded")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks"))
    parser.add_argument("--note", default="", help="what the record says of the machine")
    parser.add_argument("--child", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        from sslhsic_transfer import Preprocessing

        print(growth(Preprocessing().transform(), *options.child))
        return
    side = round((options.megapixels * 1e6) ** 0.5)
    with tempfile.TemporaryDirectory() as place:
        found = {}
        for kind in KINDS:
            paths = [write(kind, length, Path(place)) for length in (64, side)]
            found[kind] = in_a_child("--child", *map(str, paths)) / side**2
            print(f"{kind}: {found[kind]:.1f} bytes a pixel", file=sys.stderr)
        embed = embed_one(options.embed, Path(place)) if options.embed else {}
    measured = stamp() | {"Pillow": PIL.__version__, "megapixels": options.megapixels, "note": options.note}
    record = {"measured": measured, "bytes a pixel": found, "groups": GROUPS, "embed": embed}
    write_json(options.output / "picture-memory.json", record)
    print(reports.picture_memory(record))


def embed_one(megapixels: float, place: Path) -> dict[str, float]:
    """Memory of the whole command for one large and one tiny JPEG."""
    from sslhsic_transfer import create_encoder

    model = create_encoder("resnet18").save_pretrained(place / "model")
    peaks = []
    for side in (64, int((megapixels * 1e6) ** 0.5)):
        folder = place / str(side)
        folder.mkdir()
        peaks.append(embedding(write("JPEG", side, folder), model))
    return {"megapixels": side**2 / 1e6, "peak GB": peaks[1] / 1e9, "peak GB of a tiny picture": peaks[0] / 1e9}


if __name__ == "__main__":
    main()
