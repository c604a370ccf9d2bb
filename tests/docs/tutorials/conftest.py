import pytest

from sslhsic_transfer import sample
from tests.docs.tutorials import Tutorial


@pytest.fixture
def tutorial(sslhsic_here, digits, tmp_path, monkeypatch):
    """Open a tutorial in a folder of its own; the pictures that came with the package are some of them."""
    few = sample.Sample(digits, digits / "train", digits / "test", ("0", "1", "5"))
    monkeypatch.setattr(sample, "sign_digits", lambda: few)
    monkeypatch.chdir(tmp_path)

    def opened(name, budget=None, elsewhere=()):
        return Tutorial(name, sslhsic_here, budget=budget or {}, elsewhere=elsewhere)

    return opened
