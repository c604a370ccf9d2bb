import pytest
import torch
from torch import nn

from sslhsic_transfer.pretrain.averaging import WeightAverage


def haiku_average(values: list[float], decay: float) -> float:
    """hk.ExponentialMovingAverage over some values: a hidden sum, divided by what a counter says of its weights."""
    hidden = 0.0
    for value in values:
        hidden = decay * hidden + (1 - decay) * value
    return hidden / (1 - decay ** len(values))


def test_is_the_weighted_mean_of_all_weights_from_the_initial_ones_on_and_resumes():
    torch.manual_seed(0)
    network, decay = nn.Linear(3, 2), 0.9
    average, history = WeightAverage(network, decay), [network.weight.detach().clone()]
    for step in range(8):
        with torch.no_grad():
            network.weight.normal_()
        history.append(network.weight.detach().clone())
        average.update(network)
        if step == 3:
            resumed = WeightAverage(network, decay)
            resumed.load_state_dict(average.state_dict())
            average = resumed
    weights = torch.tensor([decay ** (8 - i) for i in range(9)])
    expected = (torch.stack(history) * (weights / weights.sum())[:, None, None]).sum(0)
    other = nn.Linear(3, 2)
    average.copy_to(other)
    torch.testing.assert_close(other.weight, expected)
    assert torch.equal(network.weight, history[-1])


def test_three_steps_by_hand_in_which_the_start_counts():
    """d = ½ on 1, 2, 3, from a start at 8: (½·8 + 1)/(3/2); (¼·8 + ½·1 + 2)/(7/4); (⅛·8 + ¼·1 + ½·2 + 3)/(15/8)."""
    network = nn.BatchNorm1d(1)
    nn.init.constant_(network.weight, 8.0)
    average, copied = WeightAverage(network, 0.5), nn.BatchNorm1d(1)
    average.copy_to(copied)
    assert copied.weight.item() == 8.0
    seen = [8.0]
    for value, expected in ((1.0, 10 / 3), (2.0, 18 / 7), (3.0, 14 / 5)):
        nn.init.constant_(network.weight, value)
        network.running_mean.fill_(value)
        average.update(network)
        average.copy_to(copied)
        seen.append(value)
        assert copied.weight.item() == pytest.approx(expected, abs=1e-6)
        assert haiku_average(seen, 0.5) == pytest.approx(expected, abs=1e-12)
    assert copied.running_mean.item() == 0, "statistics are no part of the average"
    assert network.weight.item() == 3.0


@pytest.mark.parametrize(("decay", "steps", "share"), [(0.999, 312_784, 0.0), (0.999, 1000, 5.8e-4), (0.9, 37, 2.1e-3)])
def test_the_initial_weights_share_fades(decay, steps, share):
    """The difference to an average that begins after the first step."""
    assert decay**steps * (1 - decay) / (1 - decay ** (steps + 1)) == pytest.approx(share, rel=0.02, abs=1e-12)


def test_an_average_saved_by_a_run_that_left_the_initial_weights_out_goes_on():
    """Its state says how many weights are in it, and so what the next weighs."""
    network = nn.Linear(1, 1, bias=False)
    average = WeightAverage(network, 0.5)
    average.load_state_dict({"count": 2, "values": {"weight": torch.tensor([[5 / 3]])}})
    nn.init.constant_(network.weight, 3.0)
    average.update(network)
    assert average.values["weight"].item() == pytest.approx(17 / 7)
