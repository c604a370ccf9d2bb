import math
import re

import pytest
import torch
from torch import nn

from sslhsic_transfer._memory import memory_gib
from sslhsic_transfer.pretrain.monitors.health import CollapseGuard, embedding_std, gradient_norm
from sslhsic_transfer.pretrain.sections import MonitorSettings


def test_an_even_spread_has_deviation_one_and_a_collapse_none():
    generator = torch.Generator().manual_seed(0)
    even = torch.randn(20_000, 32, generator=generator)
    assert embedding_std(even).item() == pytest.approx(1, abs=0.01)
    assert embedding_std(torch.ones(8, 32)).item() == pytest.approx(0, abs=1e-6)
    assert embedding_std(1000 * even).item() == pytest.approx(embedding_std(even).item(), rel=1e-4)


def test_the_deviation_of_four_points_by_hand():
    points = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-2.0, 0.0], [0.0, -3.0]])
    assert embedding_std(points).item() == pytest.approx(math.sqrt(1 / 2) * math.sqrt(2))


def test_low_precision_is_measured_in_float32():
    assert embedding_std(torch.randn(64, 16).bfloat16()).dtype == torch.float32


def test_the_gradient_norm_is_that_of_all_parameters_together():
    layers = nn.ModuleList([nn.Linear(3, 4), nn.Linear(4, 1), nn.Linear(2, 2)])
    (8 * layers[1](layers[0](torch.randn(5, 3))).sum()).backward()  # a loss scaled by 8; the last layer takes no part
    expected = torch.cat([p.grad.flatten() for p in layers.parameters() if p.grad is not None]).norm() / 8
    torch.testing.assert_close(gradient_norm(layers.parameters(), 8.0), expected)


def test_memory_counts_what_is_held():
    before = memory_gib(torch.device("cpu"))
    block = torch.ones(2**30, dtype=torch.uint8)
    during = memory_gib(torch.device("cpu"))
    del block
    assert 0.05 < before < 64
    assert during - before == pytest.approx(1, abs=0.05)
    assert memory_gib(torch.device("cpu")) - before == pytest.approx(0, abs=0.05)


@pytest.fixture
def guard():
    return CollapseGuard(MonitorSettings(collapse_std=0.1, collapse_patience=3))


def test_only_a_lasting_collapse_stops(guard):
    assert [guard.observe(std) for std in (0.05, 0.05, 0.2, 0.05, 0.05, 0.09)] == [False] * 5 + [True]


def test_what_looks_collapsed_is_suspicious_at_once(guard):
    assert not guard.suspicious
    guard.observe(0.01)
    assert guard.suspicious
    guard.observe(0.5)
    assert not guard.suspicious


def test_patience_zero_never_stops():
    guard = CollapseGuard(MonitorSettings(collapse_patience=0))
    assert not any(guard.observe(0.0) for _ in range(50))
    assert not guard.suspicious  # every checkpoint is kept: nobody asked to watch


def test_the_diagnosis_tells_what_was_seen(guard):
    for _ in range(3):
        guard.observe(0.05)
    text = guard.diagnosis({"embedding_std": 0.05, "hsic_zz": 1e-9, "learning_rate": 3.0, "target_decay": 0.5})
    assert re.search(r"last 3 logged steps .* below 0\.1 .*embedding_std 0\.05, hsic_zz 1e-09, learning_rate 3", text)
    assert "gamma" in text
    assert "gamma" not in guard.diagnosis({"embedding_std": 0.05}), "a rival has no γ"
