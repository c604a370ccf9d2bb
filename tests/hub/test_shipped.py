"""What the cards of the shipped encoders say is what they measure."""

import pytest

from sslhsic_transfer.evaluate.probe import evaluate
from sslhsic_transfer.hub.zoo import ZOO
from sslhsic_transfer.results import RESULTS_NAME, load_results


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
