import shutil

from sslhsic_transfer.pretrain import load_recipe, pretrain
from tests.docs.tutorials.test_pretrain import SMALL
from tests.hub_server.fixture import hub  # noqa: F401 - a fixture

REPO = "your-name/signs-r18"


def test_share(hub, tutorial, digits, tmp_path):  # noqa: F811 - the fixture
    page = tutorial("share", elsewhere=["hf auth login  # once; or set HF_TOKEN"])
    shutil.copytree(digits, "pictures")
    recipe = load_recipe("imagenette-r18", [*SMALL, "epochs=1"])
    model = pretrain(recipe, "pictures", "runs/second", progress=False)  # what the first tutorial leaves
    page.run(until="hf auth login")
    assert not (model / "README.md").exists()
    page.run()
    assert set(hub.tags(REPO)) == {"v1"}
    assert "Published, read back and verified" in page.shown[-2]
    assert page.names["encoder"].name_or_path == f"{REPO}@v1"
    assert (tmp_path / "test.parquet").is_file()
