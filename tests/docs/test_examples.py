"""The Python examples of README and guide, run as a reader would paste them."""

import pytest
import timm
import torch

from sslhsic_transfer import from_pretrained
from sslhsic_transfer.hub.publishing.examples import lay_pictures, python_examples
from tests.docs.pages import name_of, pages, read

# Page -> how many blocks it has.
RUN_HERE = {
    "README.md": 2,
    "docs/conversion.md": 1,
    "docs/embedding.md": 1,
    "docs/index.md": 1,
    "docs/models.md": 1,
    "docs/objective.md": 1,
    "docs/onnx.md": 2,
}
# Those are run in tests/hub (test_download.py, test_other_libraries.py) and in test_dense.py; tutorials in tutorials/.
ELSEWHERE = {"docs/hub.md": 2, "docs/dense.md": 8}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Work in a folder of its own, with the pictures that examples name."""
    lay_pictures(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(page, number, **names):
    exec(compile(python_examples(read(page))[number], page, "exec"), names)
    return names


def test_every_example_is_run():
    found = {name_of(page): len(python_examples(read(page))) for page in pages() if "tutorials" not in page.parts}
    assert {page: count for page, count in found.items() if count} == RUN_HERE | ELSEWHERE


def test_conversion_takes_convnexts_and_vits_of_timm(monkeypatch):
    """There is no network here, so that timm makes the network without its weights."""
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained, **options: create(name, **options))
    names = run("docs/conversion.md", 0)
    assert names["encoder"].config.architecture == "vit_small_patch16_dinov3"
    assert names["encoder"].metadata["timm"]["license"] == "dinov3-license"
    assert names["untrained"].feature_dim == 768


def test_embedding_reads_what_it_wrote(here, digits):
    (here / "PICTURES").symlink_to(digits / "test")
    found = run("docs/embedding.md", 0)["found"]
    assert (len(found.paths), found.sizes.shape, found.embeddings.shape) == (24, (24, 2), (24, 512))
    assert found.outputs["c4"].shape == (24, 256)


def test_readme_begins_with_two_pictures(here):
    names = run("README.md", 0)
    batch, (c3, c5) = names["batch"], names["maps"].values()
    assert names["embeddings"].shape == (2, 512)
    height, width = batch.shape[-2:]
    assert c3.shape == (1, 128, height // 8, width // 8)
    assert c5.shape == (1, 512, height // 32, width // 32)
    again = from_pretrained(here / "my-model")
    assert again.embed(["cat.jpg", "dog.jpg"]).equal(names["embeddings"])
    assert {file.name for file in (here / "my-model").iterdir()} == {"config.json", "model.safetensors"}


def test_the_loss_by_itself():
    views = [torch.randn(8, 16, requires_grad=True) for _ in range(2)]
    names = run("README.md", 1, z1=views[0], z2=views[1])
    names["loss"].backward()
    assert all(view.grad.abs().sum() > 0 for view in views)
    assert {"hsic_zy", "hsic_zz", "kernel_scale"} <= set(names["scalars"])


def test_the_sites_first_page(here):
    assert run("docs/index.md", 0)["embeddings"].shape == (2, 512)


def test_what_models_tell_of_themselves(capsys):
    run("docs/models.md", 0)
    said = capsys.readouterr().out
    assert from_pretrained("sslhsic-r18").weights_sha256 in said
    assert said.rstrip().endswith("12")


def test_hsic_and_cka():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 2, generator=generator)

    def encoder(images):
        return images.flatten(1)

    names = {"x": x, "y": x**2, "images": torch.rand(200, 3, 2, 2, generator=generator)}
    code = python_examples(read("docs/objective.md"))[0]
    *shown, last = [line.split("  #")[0] for line in code.splitlines() if "(" in line and not line.startswith("from")]
    exec(code, names | {"encoder_a": encoder, "encoder_b": encoder})
    exec(code.splitlines()[0], names)
    assert eval(shown[0], names) > 0
    assert eval(shown[2], names | {"encoder_a": encoder, "encoder_b": encoder}) == pytest.approx(1)
    assert eval(last, names) < 0.05


def test_exported_and_run_without_torch(here, model_folder):
    code = python_examples(read("docs/onnx.md"))
    names = {}
    exec(code[0].replace("org/name", model_folder.as_posix()), names)
    exec(code[1], names)
    torch.testing.assert_close(
        torch.from_numpy(names["embeddings"]),
        from_pretrained(model_folder).embed(["cat.jpg", "dog.jpg"]),
        rtol=1e-3,
        atol=1e-4,
    )
    assert "cpu" in names["encoder"].providers.used
