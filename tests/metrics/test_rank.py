import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sslhsic_transfer.errors import InputError
from sslhsic_transfer.metrics.rank import rankme


def test_counts_the_directions_of_orthogonal_rows():
    assert rankme(torch.eye(5)) == pytest.approx(5)
    assert rankme(torch.cat([torch.eye(4)[:3]] * 6)) == pytest.approx(3, abs=1e-5)
    assert rankme(torch.ones(8, 3)) == pytest.approx(1, abs=1e-5)


def test_two_singular_values_by_hand():
    # 3 and 1: shares 3/4 and 1/4, exp(−¾ ln ¾ − ¼ ln ¼) = 4 / 3^¾.
    assert rankme(torch.diag(torch.tensor([3.0, 1.0]))) == pytest.approx(4 / 3**0.75)


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 12), columns=st.integers(1, 12), scale=st.floats(1e-3, 1e3))
def test_agrees_with_the_singular_values_and_ignores_scale_and_rotation(rows, columns, scale):
    generator = torch.Generator().manual_seed(rows * 100 + columns)
    values = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    singular = torch.linalg.svdvals(values)
    expected = torch.special.entr(singular / singular.sum()).sum().exp().item()
    rotation = torch.linalg.qr(torch.randn(columns, columns, generator=generator, dtype=torch.float64))[0]
    assert rankme(scale * values @ rotation) == pytest.approx(expected, rel=1e-4)
    assert 1 - 1e-9 <= expected <= min(rows, columns) + 1e-9


def test_refuses_what_has_no_rank():
    with pytest.raises(InputError, match=r"\(3,\)"):
        rankme(torch.ones(3))
    with pytest.raises(InputError, match="finite"):
        rankme(torch.tensor([[1.0, torch.nan]]))
