import os
import time

import pytest

from sslhsic_transfer import from_pretrained
from sslhsic_transfer.errors import FingerprintError
from sslhsic_transfer.hub import folder as folder_module
from sslhsic_transfer.hub.verification_cache import cache_folder, is_verified, mark_for, remember


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("SSLHSIC_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def settled(own_model):
    """A model folder whose weights were modified long ago; when they were last changed at all cannot be set."""
    weights = own_model / "model.safetensors"
    os.utime(weights, (1e9, 1e9))
    return own_model


@pytest.fixture
def later(monkeypatch):
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 60)


@pytest.fixture
def hashed(monkeypatch):
    """The files that loading has hashed."""
    seen = []
    real = folder_module.read_weights

    def watched(path, encoder, *, hashed):
        if hashed:
            seen.append(path)
        return real(path, encoder, hashed=hashed)

    monkeypatch.setattr(folder_module, "read_weights", watched)
    return seen


def test_the_second_load_hashes_nothing(settled, later, hashed):
    first = from_pretrained(settled)
    assert len(hashed) == 1
    second = from_pretrained(settled)
    assert len(hashed) == 1
    assert second.weights_sha256 == first.weights_sha256
    assert all((a == b).all() for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_a_file_that_changed_a_moment_ago_is_hashed_again(own_model, hashed):
    from_pretrained(own_model)
    from_pretrained(own_model)
    assert len(hashed) == 2


def test_a_changed_file_is_found_although_size_and_time_are_restored(settled, later):
    from_pretrained(settled)
    weights = settled / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    os.utime(weights, (1e9, 1e9))
    with pytest.raises(FingerprintError, match="was changed"):
        from_pretrained(settled)


@pytest.mark.parametrize("what", ["version", "torch", "compared with", "place"])
def test_a_mark_holds_for_one_file_one_comparison_one_code(settled, monkeypatch, what, tmp_path):
    weights = settled / "model.safetensors"
    before, compared = mark_for(weights, "a"), "a"
    if what == "version":
        monkeypatch.setattr("sslhsic_transfer.__version__", "0.0.0")
    elif what == "torch":
        monkeypatch.setattr("torch.__version__", "0.0.0")
    elif what == "compared with":
        compared = "b"
    else:
        weights = weights.rename(tmp_path / "elsewhere.safetensors")
    assert mark_for(weights, compared) != before


def test_a_cache_that_cannot_be_written_costs_only_time(settled, later, monkeypatch, hashed, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SSLHSIC_CACHE", str(tmp_path / "file"))
    from_pretrained(settled)
    from_pretrained(settled)
    assert len(hashed) == 2


def test_old_marks_are_forgotten(settled, later, monkeypatch):
    monkeypatch.setattr("sslhsic_transfer.hub.verification_cache._MOST_MARKS", 10)
    weights = settled / "model.safetensors"
    marks = [mark_for(weights, str(number)) for number in range(11)]
    for age, mark in enumerate(reversed(marks)):
        remember(mark, weights)
        os.utime(mark, (1e9 - age, 1e9 - age)) if mark.exists() else None
    assert len(list((cache_folder() / "verified").iterdir())) <= 10
    assert is_verified(marks[0]), "the latest stays"
