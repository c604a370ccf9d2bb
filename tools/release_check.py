"""Check that the release works in an environment where nothing is prepared.

python tools/release_check.py [--dist DIR]

Takes the one wheel and sdist in DIR (`make build` makes them in dist/). Checks both (licenses, weights and their
pinned hashes, size, a README that the package index can show), installs the wheel into a new environment, and there,
with the network refused, loads every short name and runs the README's first example and the command line. Prints each
check; the first failure ends it.
"""

import argparse
import hashlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from sslhsic_transfer.hub.publishing.examples import lay_pictures, python_examples
from sslhsic_transfer.hub.zoo import ZOO

ROOT = Path(__file__).parents[1]
LARGEST = 100_000_000  # bytes of a file that PyPI takes
LICENCES = ("LICENSE", "NOTICE")
BESIDE_WEIGHTS = ("config.json", "results.json", "README.md", "recipe.yaml")
OFFLINE = """
import sys
def _refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        raise OSError(f"the network is off: {event} {arguments[1:]}")
sys.addaudithook(_refuse)
"""


class ReleaseError(Exception):
    """A fault that keeps this from being released."""


def check_size(path: Path) -> str:
    """Check that a file is small enough for the package index."""
    size = path.stat().st_size
    if size > LARGEST:
        raise ReleaseError(f"{path.name} has {size / 1e6:.1f} MB; the package index takes {LARGEST / 1e6:.0f} MB.")
    return f"{path.name}: {size / 1e6:.1f} MB"


def check_wheel(path: Path) -> str:
    """Check licenses, and the pinned weights of every short name with all that belongs to them."""
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        missing = [
            name for name in LICENCES if not any(f"licenses/{name}" in n or n.endswith(f"/{name}") for n in names)
        ]
        for model in ZOO.values():
            folder = f"sslhsic_transfer/model_cards/{model.name}"
            missing += [f"{folder}/{file}" for file in BESIDE_WEIGHTS if f"{folder}/{file}" not in names]
            weights = f"{folder}/model.safetensors"
            if weights not in names:
                missing.append(weights)
            elif (found := hashlib.sha256(wheel.read(weights)).hexdigest()) != model.sha256:
                raise ReleaseError(
                    f"{path.name}: {weights} has SHA-256 {found}; the table of names pins {model.sha256}."
                )
    if missing:
        raise ReleaseError(f"{path.name} lacks {', '.join(missing)}.")
    return f"{path.name}: {len(names)} files, licences, weights of {', '.join(ZOO)} with their pinned hashes"


def check_sdist(path: Path) -> str:
    """Check that the files to build a wheel from, and the licenses, are there."""
    with tarfile.open(path) as sdist:
        names = {name.split("/", 1)[1] for name in sdist.getnames() if "/" in name}
    needed = {"pyproject.toml", "LICENSE", "README.md", "CHANGELOG.md", "pretrain/loop.py", "adapters/__init__.py"}
    needed |= {f"model_cards/{name}/model.safetensors" for name in ZOO}
    if missing := sorted(needed - names):
        raise ReleaseError(f"{path.name} lacks {', '.join(missing)}.")
    return f"{path.name}: {len(names)} entries"


def check_description(dist: Path) -> str:
    """Check the README as the package index will show it."""
    files = sorted(str(path) for path in dist.iterdir())
    _run([sys.executable, "-m", "twine", "check", "--strict", *files])
    return "twine check --strict passed"


def first_example(readme: str) -> str:
    """Return the first Python block of a README."""
    if not (found := python_examples(readme)):
        raise ReleaseError("README.md has no Python example.")
    return found[0]


def check_installed(wheel: Path, place: Path) -> list[str]:
    """Install into a new environment; then, offline, load every name, run the README's example and the commands."""
    subprocess.run([sys.executable, "-m", "venv", str(place / "venv")], check=True)
    python = place / "venv/bin/python"
    pip = [
        str(python),
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        "-c",
        str(ROOT / "constraints.txt"),
    ]
    _run([*pip, str(wheel)])
    work = place / "work"
    work.mkdir()
    lay_pictures(work)
    done = ["installed into a new environment"]
    for name in ZOO:
        code = f"from sslhsic_transfer import from_pretrained; print(from_pretrained({name!r}))"
        done.append(f"offline: {_run([str(python), '-c', OFFLINE + code], work).splitlines()[1].strip()}")
    _run([str(python), "-c", OFFLINE + first_example((ROOT / "README.md").read_text(encoding="utf-8"))], work)
    done.append("offline: the README's first example ran")
    command = OFFLINE + "from sslhsic_transfer.cli import main; sys.argv = ['sslhsic', 'models']; main()"
    _run([str(python), "-c", command], work)
    return [*done, "offline: sslhsic models"]


def _run(command: list[str], place: Path | None = None) -> str:
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=1800, check=False)
    if done.returncode:
        raise ReleaseError(f"{' '.join(command)[:300]} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dist", type=Path, default=ROOT / "dist")
    dist: Path = parser.parse_args().dist
    try:
        found = {kind: sorted(dist.glob(f"*{kind}")) for kind in (".whl", ".tar.gz")}
        if any(len(files) != 1 for files in found.values()):
            raise ReleaseError(f"Expected one wheel and one sdist in {dist}: run `make build`.")
        (wheel,), (sdist,) = found.values()
        for said in (check_size(wheel), check_size(sdist), check_wheel(wheel), check_sdist(sdist)):
            print(f"✓ {said}", flush=True)
        print(f"✓ {check_description(dist)}", flush=True)
        with tempfile.TemporaryDirectory() as place:
            for said in check_installed(wheel, Path(place)):
                print(f"✓ {said}", flush=True)
    except ReleaseError as error:
        raise SystemExit(f"✗ {error}") from error


if __name__ == "__main__":
    main()
