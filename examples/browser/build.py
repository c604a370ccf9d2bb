"""Build a page that embeds pictures in the visitor's browser and finds their neighbors in a small gallery.

python examples/browser/install.py                     (once: onnxruntime-web)
python examples/browser/build.py MODEL OUTPUT [--gallery FOLDER] [--count 40]
python -m http.server --directory OUTPUT               (or any other server of static files)

MODEL is what `from_pretrained` takes. The gallery is the bundled hand signs, or FOLDER with one sub-folder per class.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
from install import runtime_files

from sslhsic_transfer import from_pretrained
from sslhsic_transfer._files import write_json
from sslhsic_transfer.adapters.onnx import OnnxEncoder, export
from sslhsic_transfer.data.image_folder import ImageFolder
from sslhsic_transfer.data.images import load_image
from sslhsic_transfer.errors import MissingDependencyError, OutputExistsError
from sslhsic_transfer.sample import sign_digits

PAGE = Path(__file__).parent / "page"
THUMBNAIL = 160  # pixels of the longer side
EXAMPLES = 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("output", type=Path)
    parser.add_argument("--gallery", type=Path, help="pictures, one sub-folder a class")
    parser.add_argument("--count", type=int, default=40, help="how many of them")
    options = parser.parse_args()
    output = build(options.model, options.output, gallery=options.gallery, count=options.count)
    size = sum(file.stat().st_size for file in output.rglob("*") if file.is_file())
    print(f"Built {output}, {size / 1e6:.0f} MB. Now: python -m http.server --directory {output}")


def build(model: str | Path, output: Path, *, gallery: Path | None = None, count: int = 40) -> Path:
    """Write the page, whole or not at all.

    Args:
        model: what `from_pretrained` takes.
        output: the folder to make.
        gallery: pictures to find neighbors in; by default the bundled ones.
        count: how many of them, evenly chosen; a few of those between become examples to try.

    Returns:
        The folder.

    Raises:
        MissingDependencyError: onnxruntime-web is not installed.
        OutputExistsError: the folder is there already.
        DataError: the gallery holds no pictures.
    """
    runtime = runtime_files()
    if not runtime:
        raise MissingDependencyError("onnxruntime-web is not installed: python examples/browser/install.py")
    if output.exists():
        raise OutputExistsError(f"{output} already exists; choose another name, or delete it.")
    encoder = from_pretrained(model)
    shown, examples = _chosen(gallery, count)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as place:
        folder = Path(shutil.copytree(PAGE, Path(place) / "page"))
        (folder / "onnxruntime").mkdir()
        for file in runtime:
            shutil.copy(file, folder / "onnxruntime")
        # All preprocessing in the graph: the browser only decodes.
        export(encoder, folder / "model.onnx", input="pictures")
        served = OnnxEncoder.from_pretrained(folder / "model.onnx", providers=["cpu"])
        vectors = served.embed(shown.paths)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        (folder / "gallery.bin").write_bytes(vectors.astype("<f4").tobytes())
        facts = {
            "model": served.info.model,
            "weights_sha256": served.info.weights_sha256,
            "feature_dim": served.feature_dim,
            "pictures": _thumbnails(shown, folder),
            "examples": _originals(examples, folder),
        }
        write_json(folder / "gallery.json", facts)
        folder.rename(output)
    return output


def _chosen(gallery: Path | None, count: int) -> tuple[ImageFolder, ImageFolder]:
    """Choose the gallery, and pictures that are not in it."""
    if gallery is None:
        sample = sign_digits()
        return _spread(ImageFolder.scan(sample.train), count), _spread(ImageFolder.scan(sample.test), EXAMPLES)
    found = ImageFolder.scan(gallery)
    shown = _spread(found, count)
    rest = [index for index in range(len(found)) if found.paths[index] not in set(shown.paths)]
    return shown, _spread(found.subset(rest), EXAMPLES)


def _spread(pictures: ImageFolder, count: int) -> ImageFolder:
    """Select at most so many, from the middle of as many equal parts."""
    count = min(count, len(pictures))
    return pictures.subset(int((number + 0.5) * len(pictures) / count) for number in range(count))


def _thumbnails(pictures: ImageFolder, folder: Path) -> list[dict[str, str]]:
    (folder / "gallery").mkdir()
    entries = []
    for index, path in enumerate(pictures.paths):
        image = load_image(path)
        image.thumbnail((THUMBNAIL, THUMBNAIL))
        image.save(folder / "gallery" / f"{index:04d}.jpg", quality=90)
        entries.append({"file": f"gallery/{index:04d}.jpg", "label": _label(pictures, index)})
    return entries


def _originals(pictures: ImageFolder, folder: Path) -> list[dict[str, str]]:
    (folder / "examples").mkdir()
    entries = []
    for index, path in enumerate(pictures.paths):
        name = f"examples/{index:04d}{path.suffix.lower()}"
        shutil.copy(path, folder / name)
        entries.append({"file": name, "label": _label(pictures, index)})
    return entries


def _label(pictures: ImageFolder, index: int) -> str:
    return pictures.classes[pictures.labels[index]] if pictures.labels else pictures.paths[index].stem


if __name__ == "__main__":
    main()
