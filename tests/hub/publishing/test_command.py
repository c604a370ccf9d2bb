"""`sslhsic publish`, to a Hub on the loopback interface."""

import json

import pytest

from sslhsic_transfer import from_pretrained
from tests.hub.conftest import FACTS

pytestmark = pytest.mark.usefixtures("no_example")
REPO = "tester/tiny-r18"


def test_the_command_publishes_and_tells(sslhsic, sslhsic_here, hub, publishable):
    shown = sslhsic_here("publish", publishable, "--repo", REPO, "--fact", "hours=1.5", "--dry-run").stdout
    assert "fit to be published" in shown
    shown = sslhsic("publish", publishable, "--repo", REPO, "--tag", "v1").stdout
    for text in ("model.safetensors", "44.8 MB", "new", "read back and verified", f'from_pretrained("{REPO}@v1")'):
        assert text in shown
    assert hub.tags(REPO)


def test_the_command_lists_what_is_missing(sslhsic_here, hub, publishable):
    path = publishable / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"metadata": {}}))
    done = sslhsic_here("publish", publishable, "--repo", REPO, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "- licence" in done.stderr


def test_facts_are_given_by_name(sslhsic_here, hub, publishable):
    path = publishable / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"metadata": {}}))
    command = ["publish", publishable, "--repo", REPO, "--license", "mit", "--trained-by", "Jane Doe"]
    others = {name: value for name, value in FACTS.items() if name not in ("licence", "trained_by")}
    sslhsic_here(*command, *[text for name, value in others.items() for text in ("--fact", f"{name}={value}")])
    assert from_pretrained(REPO).metadata == FACTS | {"trained_by": "Jane Doe"}
    done = sslhsic_here(*command, "--fact", "hours=many", check=False)
    assert "hours (Duration of the training in hours): " in done.stderr
    assert sslhsic_here(*command, "--fact", "hours", check=False).returncode == 2
