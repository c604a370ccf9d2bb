"""Install the needs of the page: onnxruntime-web, and with --chromium the browser that its test drives.

python examples/browser/install.py [--chromium]

onnxruntime-web comes from the npm registry by plain HTTPS, or by npm where only npm knows the way there. Version and
hash are those of package-lock.json. Chromium comes from apt-get, where there is one and it may install.
"""

import argparse
import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from io import BytesIO
from pathlib import Path

HERE = Path(__file__).parent
PACKAGE = "onnxruntime-web"
RUNTIME = HERE / "node_modules" / PACKAGE / "dist"
FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chromium", action="store_true", help="install Chromium, too, where that is possible")
    options = parser.parse_args()
    failed = install_runtime()
    if options.chromium:
        failed = install_chromium() or failed
    return int(failed)


def runtime_files() -> list[Path]:
    """List the files of onnxruntime-web that the page loads; empty where they are not installed."""
    files = [RUNTIME / name for name in FILES]
    return files if all(file.is_file() for file in files) and _installed() == _locked()["version"] else []


def find_chromium() -> str | None:
    """Find a browser that speaks Chromium's DevTools protocol; the variable CHROMIUM names another one."""
    names = [os.environ["CHROMIUM"]] if os.environ.get("CHROMIUM") else BROWSERS
    return next(filter(None, map(shutil.which, names)), None)


def install_runtime() -> bool:
    """Put onnxruntime-web into node_modules; return True if that failed."""
    locked = _locked()
    if runtime_files():
        print(f"{PACKAGE} {locked['version']} is installed already.")
        return False
    try:
        archive = _fetched(locked["version"])
        _check(archive, locked["integrity"])
        _unpack(archive)
    except (OSError, ValueError, subprocess.SubprocessError, tarfile.TarError) as error:
        print(f"{PACKAGE} {locked['version']} was not installed: {error}", file=sys.stderr)
        return True
    print(f"Installed {PACKAGE} {locked['version']}.")
    return False


def install_chromium() -> bool:
    """Install Chromium by apt-get; return True if that failed."""
    if found := find_chromium():
        print(f"{found} is installed already.")
        return False
    if not shutil.which("apt-get") or os.geteuid() != 0:
        print("Chromium was not installed: that takes apt-get and root. Install it yourself.", file=sys.stderr)
        return True
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]):
        done = subprocess.run(command, capture_output=True, text=True, env=quiet, check=False)
    if done.returncode or not find_chromium():
        print(f"Chromium was not installed: apt-get says\n{done.stdout[-500:]}{done.stderr[-500:]}", file=sys.stderr)
        return True
    print("Installed Chromium.")
    return False


def _locked() -> dict[str, str]:
    lock = json.loads((HERE / "package-lock.json").read_text(encoding="utf-8"))
    return lock["packages"][f"node_modules/{PACKAGE}"]


def _installed() -> str:
    return json.loads((RUNTIME.parent / "package.json").read_text(encoding="utf-8"))["version"]


def _fetched(version: str) -> bytes:
    """Fetch the package's archive."""
    chosen = [value for name, value in os.environ.items() if name.lower() == "npm_config_registry" and value]
    registry = (chosen or ["https://registry.npmjs.org"])[0].rstrip("/")
    try:
        with urllib.request.urlopen(f"{registry}/{PACKAGE}/-/{PACKAGE}-{version}.tgz", timeout=60) as answer:
            return answer.read()
    except OSError as error:
        npm = shutil.which("npm")
        if npm is None:
            raise OSError(f"{registry} cannot be read ({error}), and there is no npm") from error
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", f"{PACKAGE}@{version}", "--pack-destination", folder]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise OSError(f"npm says {done.stderr.strip()[-500:]}")
        return next(Path(folder).glob("*.tgz")).read_bytes()


def _check(archive: bytes, integrity: str) -> None:
    method, expected = integrity.split("-", 1)
    if base64.b64encode(hashlib.new(method, archive).digest()).decode() != expected:
        raise ValueError(f"its {method} is not that of package-lock.json")


def _unpack(archive: bytes) -> None:
    """Unpack only what the page loads, of a hundred megabytes."""
    RUNTIME.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=BytesIO(archive)) as package:
        for name in (*(f"dist/{file}" for file in FILES), "package.json"):  # last: it says that all is there
            content = package.extractfile(f"package/{name}")
            if content is None:
                raise ValueError(f"it holds no {name}")
            (RUNTIME.parent / name).write_bytes(content.read())


if __name__ == "__main__":
    sys.exit(main())
