"""Installing what the page needs, from a registry on the loopback interface."""

import base64
import hashlib
import http.server
import io
import json
import tarfile
import threading
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "browser"


@pytest.fixture
def install(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(EXAMPLE)
    import install

    monkeypatch.setattr(install, "HERE", tmp_path)
    monkeypatch.setattr(install, "RUNTIME", tmp_path / "node_modules/onnxruntime-web/dist")
    monkeypatch.setenv("PATH", str(tmp_path))  # where there is no npm
    return install


def packed(names):
    """Make an archive as npm does."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name in names:
            text = json.dumps({"version": "9.9.9"}).encode() if name == "package.json" else name.encode()
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text))
    return content.getvalue()


@pytest.fixture
def registry(install, monkeypatch, tmp_path):
    """Serve an archive; the lock file names the given hash."""
    state = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/onnxruntime-web/-/onnxruntime-web-9.9.9.tgz" else 404)
            self.end_headers()
            self.wfile.write(state["archive"])

        def log_message(self, *parts):
            pass

    def serve(archive, hashed=None):
        state["archive"] = archive
        digest = base64.b64encode(hashlib.sha512(archive if hashed is None else hashed).digest()).decode()
        locked = {"version": "9.9.9", "integrity": f"sha512-{digest}"}
        lock = {"packages": {"node_modules/onnxruntime-web": locked}}
        (tmp_path / "package-lock.json").write_text(json.dumps(lock))

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{server.server_port}/")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield serve
        server.shutdown()
        thread.join()


def test_only_what_the_page_loads_is_unpacked(install, registry, tmp_path, capsys):
    files = [f"dist/{name}" for name in install.FILES]
    registry(packed([*files, "package.json", "dist/ort.all.js", "../outside"]))
    assert install.runtime_files() == []
    assert not install.install_runtime()
    there = {path.relative_to(tmp_path / "node_modules/onnxruntime-web") for path in tmp_path.rglob("*/*/*.*")}
    assert {path.as_posix() for path in there if path.suffix} == {*files, "package.json"}
    assert len(install.runtime_files()) == len(files)
    assert not install.install_runtime()
    assert "installed already" in capsys.readouterr().out


def test_a_changed_archive_is_refused(install, registry, capsys):
    registry(packed(["package.json"]), hashed=b"what was published")
    assert install.install_runtime()
    assert "sha512 is not that of package-lock.json" in capsys.readouterr().err
    assert not install.RUNTIME.exists()


def test_without_registry_and_npm_the_reason_is_told(install, registry, monkeypatch, capsys):
    registry(b"")
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")
    assert install.install_runtime()
    told = capsys.readouterr().err
    assert "onnxruntime-web 9.9.9 was not installed: http://127.0.0.1:9 cannot be read" in told
    assert "there is no npm" in told


def test_without_root_and_apt_chromium_is_left_to_the_user(install, capsys):
    assert install.find_chromium() is None
    assert install.install_chromium()
    assert "Install it yourself" in capsys.readouterr().err


def test_versions_agree():
    package = json.loads((EXAMPLE / "package.json").read_text())
    lock = json.loads((EXAMPLE / "package-lock.json").read_text())
    version = package["dependencies"]["onnxruntime-web"]
    assert lock["packages"]["node_modules/onnxruntime-web"]["version"] == version
    assert lock["packages"][""]["dependencies"] == package["dependencies"]
