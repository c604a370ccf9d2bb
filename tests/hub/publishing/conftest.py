import pytest

from sslhsic_transfer.hub.publishing import validation


@pytest.fixture
def no_example(monkeypatch):
    """Skip the card's example, which runs for seconds in a process of its own: for tests that are not about it."""
    monkeypatch.setattr(validation, "_run_snippet", lambda card, repo_id, folder: None)
