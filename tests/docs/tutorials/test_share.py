import shutil

from sslhsic_transfer import from_pretrained
from tests.hub_server.fixture import hub  # noqa: F401 - a fixture

REPO = "your-name/signs-r18"


def test_share(hub, tutorial, digits, tmp_path):  # noqa: F811 - the fixture
    page = tutorial("share", elsewhere=["hf auth login  # once; or set HF_TOKEN"])
    shutil.copytree(digits, "pictures")
    model = from_pretrained("sslhsic-r18").save_pretrained("runs/second/model")  # for what the first tutorial leaves
    page.run(until="hf auth login")
    assert not (model / "README.md").exists()
    assert not hub.asked("/api/repos/create")
    page.run()
    assert len(hub.asked("/api/repos/create")) == 1
    assert set(hub.tags(REPO)) == {"v1"}
    assert "Published, read back and verified" in page.shown[-2]
    assert page.names["encoder"].name_or_path == f"{REPO}@v1"
    assert page.names["encoder"].metadata["trained_by"] == "Your name"
    assert (tmp_path / "test.parquet").is_file()
