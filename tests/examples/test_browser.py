"""The page in a real browser: its embeddings and neighbors are Python's, and nothing leaves it."""

import functools
import http.server
import json
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sslhsic_transfer import from_pretrained
from sslhsic_transfer.adapters.onnx import OnnxEncoder
from sslhsic_transfer.data.images import load_image
from sslhsic_transfer.errors import MissingDependencyError, OutputExistsError
from sslhsic_transfer.sample import sign_digits
from tests.examples.chromium import open_page

EXAMPLE = Path(__file__).parents[2] / "examples" / "browser"
SIZES = ((72, 72), (100, 151), (640, 480), (40, 33), (73, 500))  # width, height
SHOWN = 8


@pytest.fixture(scope="module")
def builder():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLE)
        import build

        yield build


@pytest.fixture(scope="module")
def chromium(builder):
    from install import find_chromium

    return find_chromium() or pytest.skip("no Chromium: python examples/browser/install.py --chromium, as root")


@pytest.fixture(scope="module")
def built(builder, chromium, pretrained_folder, tmp_path_factory):
    try:
        return builder.build(pretrained_folder, tmp_path_factory.mktemp("browser") / "page")
    except MissingDependencyError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def server(built):
    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *parts):
            asked.append(self.requestline)

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *parts):
            """Ignore errors: a tab that goes on to the next page breaks connections."""

    asked: list[str] = []
    with Server(("127.0.0.1", 0), functools.partial(Handler, directory=built)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def tab(chromium, server):
    with open_page(chromium) as page:
        yield page


@pytest.fixture
def page(tab, server):
    tab.send("Page.navigate", url=f"{server[0]}/index.html")
    tab.wait("document.body?.dataset.state === 'ready'")
    return tab


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """PNG files of several sizes and modes: what every decoder decodes alike."""
    folder = tmp_path_factory.mktemp("pictures")
    sources = sorted(sign_digits().test.rglob("*.jpg"))[::50]
    paths = []
    for number, source in enumerate(sources):
        image = load_image(source).resize(SIZES[number % len(SIZES)], Image.Resampling.BICUBIC)
        paths.append(folder / f"picture {number}.png")
        image.convert({5: "L", 6: "P", 7: "RGBA"}.get(number, "RGB")).save(paths[-1])
    assert len(paths) >= 8
    return paths


def chosen(page, path):
    """Choose a file, and return what the page says about it."""
    page.choose("#file", path)
    page.wait(
        f"['done', 'failed'].includes(document.body.dataset.state) && "
        f"document.getElementById('status').textContent.startsWith({json.dumps(path.name)})"
    )
    return page.run("document.getElementById('status').textContent")


RESULT = "import('./app.js').then(({result}) => ({...result, embedding: [...result.embedding]}))"


def unit(vectors):
    vectors = np.asarray(vectors, np.float64)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_embeddings_and_neighbors_are_those_of_python(page, built, pretrained_folder, pictures):
    results = []
    for path in pictures:
        text = chosen(page, path)
        with Image.open(path) as image:
            assert f"{image.width} × {image.height}" in text
        results.append(page.run(RESULT))
        shown = page.run("[...document.querySelectorAll('#neighbors li b')].map((b) => b.textContent)")
        assert shown == [f"{near['similarity']:.3f}" for near in results[-1]["neighbors"]]
    found = unit([result["embedding"] for result in results])

    runtime = OnnxEncoder.from_pretrained(built / "model.onnx", providers=["cpu"])
    by_file, by_torch = unit(runtime.embed(pictures)), unit(from_pretrained(pretrained_folder).embed(pictures))
    assert (found * by_file).sum(1).min() >= 0.99999
    assert (found * by_torch).sum(1).min() >= 0.9999
    # The mean of all pictures would hide differences: without it, pictures are told apart.
    center = by_torch.mean(0)
    assert (unit(found - center) * unit(by_file - center)).sum(1).min() >= 0.9999
    assert (unit(found - center) * unit(by_torch - center)).sum(1).min() >= 0.995

    gallery = json.loads((built / "gallery.json").read_text())["pictures"]
    bank = unit(np.fromfile(built / "gallery.bin", "<f4").reshape(len(gallery), -1))
    for result, cosines in zip(results, by_file @ bank.T, strict=True):
        expected = np.argsort(-cosines)[:SHOWN]
        assert [near["index"] for near in result["neighbors"]] == expected.tolist()
        assert [near["similarity"] for near in result["neighbors"]] == pytest.approx(cosines[expected], abs=1e-5)


def test_gallery_is_embedded_from_the_pictures_that_it_shows(built, pretrained_folder):
    facts = json.loads((built / "gallery.json").read_text())
    encoder = from_pretrained(pretrained_folder)
    assert facts["weights_sha256"] == encoder.weights_sha256
    bank = np.fromfile(built / "gallery.bin", "<f4").reshape(40, facts["feature_dim"])
    shown = unit(encoder.embed([built / picture["file"] for picture in facts["pictures"]]))
    assert ((unit(bank) @ shown.T).argmax(1) == np.arange(40)).mean() > 0.9, "thumbnails are JPEG again, so nearly"
    assert {picture["label"] for picture in facts["pictures"]} == set("0123456789")


def test_nothing_leaves_the_browser(tab, page, server, pictures):
    chosen(page, pictures[0])
    address, asked = server
    urls = {event["request"]["url"] for event in tab.told("Network.requestWillBeSent")}
    assert f"{address}/model.onnx" in urls
    assert all(url.startswith((f"{address}/", "blob:", "data:")) for url in urls), urls
    assert {line.split()[0] for line in asked} == {"GET"}
    assert not any("picture" in line for line in asked)
    refused = page.run("""new Promise((tell) => {
        document.addEventListener('securitypolicyviolation', (event) => tell(event.effectiveDirective));
        fetch('http://127.0.0.1:9/').catch(() => setTimeout(tell, 1000, 'nothing'));
    })""")
    assert refused == "connect-src", "the page's own policy lets nothing out"


@pytest.mark.parametrize(
    "content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(50)], ids=["empty", "text", "broken off"]
)
def test_what_is_no_picture_is_told_and_the_next_one_works(page, content, tmp_path, pictures):
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(content)
    before = len(page.complaints())
    assert "cannot decode it as a picture" in chosen(page, damaged)
    assert page.run("document.body.dataset.state") == "failed"
    assert page.run("document.querySelectorAll('#neighbors li').length") == 0
    assert "embedded in" in chosen(page, pictures[0])
    assert page.run("document.body.dataset.state") == "done"
    assert page.complaints()[before:] == []


def test_an_example_can_be_clicked_and_a_file_dropped(page):
    page.run("document.querySelectorAll('#examples button')[2].click()")
    page.wait("document.body.dataset.state === 'done'")
    assert page.run("document.querySelectorAll('#neighbors li').length") == SHOWN
    assert page.run("document.querySelectorAll('#gallery .near').length") == SHOWN
    clicked = page.run(RESULT)
    page.run("""(async () => {
        const blob = await (await fetch(document.querySelectorAll('#examples img')[2].src)).blob();
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([blob], 'dropped.jpg', {type: 'image/jpeg'}));
        document.getElementById('drop').dispatchEvent(new DragEvent('drop', {dataTransfer, bubbles: true}));
    })()""")
    page.wait("document.getElementById('status').textContent.startsWith('dropped.jpg, ')")
    assert page.run(RESULT)["embedding"] == pytest.approx(clicked["embedding"])


def test_a_model_that_is_not_there_is_told(tab, built, server):
    """As where a server refuses large files."""
    (built / "model.onnx").rename(built / "elsewhere.onnx")
    try:
        tab.send("Network.setCacheDisabled", cacheDisabled=True)
        tab.send("Page.navigate", url=f"{server[0]}/index.html")
        tab.wait("document.body?.dataset.state === 'broken'")
        assert "model.onnx: the server answers 404" in tab.run("document.getElementById('status').textContent")
    finally:
        (built / "elsewhere.onnx").rename(built / "model.onnx")
        tab.send("Network.setCacheDisabled", cacheDisabled=False)


def test_what_is_there_is_not_replaced(builder, pretrained_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(builder, "runtime_files", lambda: [EXAMPLE / "package.json"])
    (tmp_path / "page").mkdir()
    with pytest.raises(OutputExistsError, match="page already exists"):
        builder.build(pretrained_folder, tmp_path / "page")
    monkeypatch.setattr(builder, "runtime_files", list)
    with pytest.raises(MissingDependencyError, match=r"install\.py"):
        builder.build(pretrained_folder, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_examples_are_not_in_a_gallery_of_ones_own(builder, digits):
    shown, examples = builder._chosen(digits / "train", 10)
    assert (len(shown), len(examples)) == (10, builder.EXAMPLES)
    assert not set(shown.paths) & set(examples.paths)
    assert {builder._label(shown, index) for index in range(10)} == {"0", "1", "5"}
    shown, examples = builder._chosen(digits / "train" / "0", 1000)
    assert (len(shown), len(examples)) == (24, 0)
