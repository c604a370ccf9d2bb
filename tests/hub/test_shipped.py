"""The shipped encoders give the embeddings that they always gave, and their cards say what they measure."""

from pathlib import Path

import numpy as np
import pytest

from sslhsic_transfer import from_pretrained
from sslhsic_transfer.evaluate.probe import evaluate
from sslhsic_transfer.hub.zoo import ZOO
from sslhsic_transfer.results import RESULTS_NAME, load_results
from sslhsic_transfer.sample import sign_digits

RECORDED = Path(__file__).with_name("shipped_embeddings.npz")
LARGEST_DIFFERENCE = 1e-4


@pytest.mark.parametrize("name", list(ZOO))
def test_bundled_pictures_have_the_embeddings_that_were_recorded(name):
    """All numbers of the embeddings of three pictures, from the file to the pooled features, within 1e-4 of their norm.

    A hash of the bytes would hold on one kind of CPU only: convolutions sum in another order on another one, which
    changes embeddings by about 1e-6 of their norm. The values are kept as float32, since float16 alone is off by 3e-4.
    The test notices another decoding, resizing, normalization, padding or layer. Record them anew only if
    the weights of a short name change, with ``python -m tests.hub.test_shipped``.
    """
    pictures = three_pictures()
    recorded = np.load(RECORDED)[name]
    found = from_pretrained(name).embed(pictures).numpy()
    assert found.shape == recorded.shape == (3, ZOO[name].encoder.feature_dim)
    difference = np.linalg.norm(found - recorded, axis=1) / np.linalg.norm(recorded, axis=1)
    assert difference.max() <= LARGEST_DIFFERENCE
    others = np.linalg.norm(recorded - np.roll(recorded, 1, axis=0), axis=1) / np.linalg.norm(recorded, axis=1)
    assert others.min() > 100 * LARGEST_DIFFERENCE  # pictures are told apart by far more


def three_pictures() -> list[Path]:
    return [sorted((sign_digits().test / digit).iterdir())[0] for digit in ("0", "4", "9")]


@pytest.mark.slow
@pytest.mark.parametrize("name", list(ZOO))
@pytest.mark.parametrize("data_set", ["sign_digits", "flowers5"])
def test_a_cards_figures_reproduce(name, data_set, data_root):
    root = data_root / data_set
    validation = root / "val" if (root / "val").is_dir() else None
    found = evaluate(
        name, ["knn", "linear"], train=root / "train", test=root / "test", validation=validation, seeds=(0, 1, 2)
    )
    recorded = {
        result.task: result
        for result in load_results(ZOO[name].shipped / RESULTS_NAME)
        if result.dataset == data_set and result.weights_sha256 == ZOO[name].sha256
    }
    for result in found:
        assert result.value == pytest.approx(recorded[result.task].value, abs=0.01)
        assert (result.n, result.protocol) == (recorded[result.task].n, recorded[result.task].protocol)


if __name__ == "__main__":
    np.savez(RECORDED, **{name: from_pretrained(name).embed(three_pictures()).numpy() for name in ZOO})
