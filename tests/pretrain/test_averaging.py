import pytest
import torch
from torch import nn

from sslhsic_transfer.pretrain.averaging import WeightAverage


def test_is_the_weighted_mean_of_all_weights_so_far_and_resumes():
    torch.manual_seed(0)
    network, decay = nn.Linear(3, 2), 0.9
    average, history = WeightAverage(network, decay), []
    for step in range(8):
        with torch.no_grad():
            network.weight.normal_()
        history.append(network.weight.detach().clone())
        average.update(network)
        if step == 3:
            resumed = WeightAverage(network, decay)
            resumed.load_state_dict(average.state_dict())
            average = resumed
    weights = torch.tensor([decay ** (7 - i) for i in range(8)])
    expected = (torch.stack(history) * (weights / weights.sum())[:, None, None]).sum(0)
    other = nn.Linear(3, 2)
    average.copy_to(other)
    torch.testing.assert_close(other.weight, expected)
    assert torch.equal(network.weight, history[-1])


def test_three_steps_by_hand_with_no_trace_of_the_start():
    """d = ½ on 1, 2, 3, from a start at 100: 1; (½·1 + 2)/(3/2); (¼·1 + ½·2 + 3)/(7/4)."""
    network = nn.BatchNorm1d(1)
    nn.init.constant_(network.weight, 100.0)
    average, copied = WeightAverage(network, 0.5), nn.BatchNorm1d(1)
    for value, expected in ((1.0, 1.0), (2.0, 5 / 3), (3.0, 17 / 7)):
        nn.init.constant_(network.weight, value)
        network.running_mean.fill_(value)
        average.update(network)
        average.copy_to(copied)
        assert copied.weight.item() == pytest.approx(expected, abs=1e-6)
    assert copied.running_mean.item() == 0, "statistics are no part of the average"
    assert network.weight.item() == 3.0
