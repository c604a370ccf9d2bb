import pytest
import torch

from sslhsic_transfer.hsic.unit_vectors import unit_vectors


def test_vectors_keep_their_direction_and_have_norm_one():
    vectors = torch.randn(4, 3, 8, dtype=torch.float64)
    units = unit_vectors(vectors)
    torch.testing.assert_close(units, vectors / vectors.norm(dim=-1, keepdim=True))


def test_the_gradient_is_the_quotients():
    vectors = torch.randn(5, 2, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(unit_vectors, vectors)
    assert torch.autograd.gradcheck(unit_vectors, (vectors.detach() * 1e-4).requires_grad_(), eps=1e-9, atol=1e-2)


@pytest.mark.parametrize("size", [0.0, 1e-42, 1e-30, 1.0, 1e30, 3e38])
def test_no_size_overflows(size):
    vectors = torch.tensor([[1.0, -0.5, 0.25], [0.0, 0.0, 1.0]]).mul(size).requires_grad_()
    units = unit_vectors(vectors)
    (gradient,) = torch.autograd.grad(units[:, 0].sum(), vectors)
    assert units.isfinite().all()
    assert gradient.isfinite().all()
    if size >= 1e-30:
        torch.testing.assert_close(units.norm(dim=-1), torch.ones(2))
    elif not size:
        assert not units.any()


def test_a_second_derivative_is_refused():
    vectors = torch.randn(2, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(unit_vectors(vectors).square()[:, 0].sum(), vectors, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_only_the_units_are_kept_for_the_gradient():
    vectors = torch.randn(64, 128, requires_grad=True)
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        unit_vectors(vectors)
    assert sum(tensor.numel() for tensor in kept) == 64 * 128 + 2 * 64
