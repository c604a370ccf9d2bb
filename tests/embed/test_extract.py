import subprocess

import psutil
import pytest
import torch

from sslhsic_transfer import from_pretrained
from sslhsic_transfer.embed import extract
from sslhsic_transfer.embed.extract import extract_batches
from sslhsic_transfer.errors import ImageError


@pytest.mark.parametrize("workers", [0, 2])
def test_equals_the_encoders_own_embed(model_folder, digits, workers):
    encoder = from_pretrained(model_folder)
    paths = sorted((digits / "test").rglob("*.jpg"))
    found = extract(encoder, paths, batch_size=7, workers=workers)
    torch.testing.assert_close(found, encoder.embed(paths), rtol=1e-5, atol=1e-5)


def test_uses_eval_mode_and_leaves_the_encoders_own(model_folder, digits):
    encoder = from_pretrained(model_folder)
    paths = sorted((digits / "test" / "0").iterdir())[:5]
    expected = encoder.embed(paths)
    torch.testing.assert_close(extract(encoder.train(), paths, batch_size=2), expected, rtol=1e-5, atol=1e-5)
    assert encoder.training
    assert encoder.bn1.num_batches_tracked == 0


def test_goes_on_past_damaged_pictures_and_says_which(model_folder, digits, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"nothing")
    good = sorted((digits / "test" / "0").iterdir())[:3]
    paths = [good[0], bad, good[1], bad, good[2]]
    encoder = from_pretrained(model_folder)
    batches = list(extract_batches(encoder, paths, batch_size=2))
    assert [sorted(batch.errors) for batch in batches] == [[1], [3], []]
    assert [len(batch.outputs["pooled"]) for batch in batches] == [1, 1, 1]
    torch.testing.assert_close(
        torch.cat([batch.outputs["pooled"] for batch in batches]), encoder.embed(good), rtol=1e-5, atol=1e-5
    )
    with pytest.raises(ImageError, match=r"bad\.jpg"):
        extract(encoder, paths)


def test_a_signal_to_the_process_group_is_left_to_the_main_process(model_folder, digits):
    """As of Ctrl-C, or a scheduler: readers that died of it would bring a training run's evaluation down."""
    encoder = from_pretrained(model_folder)
    paths = 4 * sorted((digits / "test").rglob("*.jpg"))
    count = 0
    for batch in extract_batches(encoder, paths, batch_size=4, workers=2):
        if not count:
            # Another process sends the signal: readers end only where their own parent asks them to.
            readers = [str(child.pid) for child in psutil.Process().children(recursive=True)]
            subprocess.run(["kill", "-TERM", *readers], check=False)
        count += len(batch.sizes)
    assert count == len(paths)


def test_what_a_caller_does_between_batches_is_not_in_inference_mode(model_folder, digits):
    encoder = from_pretrained(model_folder)
    for _ in extract_batches(encoder, sorted((digits / "test" / "0").iterdir())[:2]):
        assert not torch.is_inference_mode_enabled()
