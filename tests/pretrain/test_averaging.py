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
