"""Every row of `OBJECTIVES` is exact over processes and micro-batches, stays finite and computes in float32.

A new row is covered without a change here. Programs are started once for each way to share the rows out, not once for
each case: each computes all of them.
"""

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import torch

from sslhsic_transfer.pretrain.objectives import OBJECTIVES, ObjectiveName
from tests.programs import objective_ranks
from tests.programs.objective_ranks import CASES, MICRO_BATCHES, ROWS, Result, recipe_of, step

# Rows of each process: 1, 2 and 4 of them, alike and not.
SHARES = [(32,), (16, 16), (21, 11), (8, 8, 8, 8), (1, 12, 9, 10)]
RELATIVE = 1e-12


def test_every_name_that_a_recipe_takes_is_a_row():
    assert get_args(ObjectiveName) == tuple(OBJECTIVES)
    assert set(OBJECTIVES) <= set(CASES)


@pytest.fixture(scope="module")
def expected():
    """Each case's step by one process on the whole batch."""
    return {case: step(case) for case in CASES}


@pytest.fixture(scope="module", params=SHARES, ids=str)
def by_ranks(request, tmp_path_factory):
    """{(case, micro-batches): [result of each rank]}."""
    shares = request.param
    assert sum(shares) == ROWS
    if len(shares) == 1:
        return {(case, count): [step(case, count)] for case in CASES for count in MICRO_BATCHES}
    output = tmp_path_factory.mktemp("ranks") / "results.pt"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={len(shares)}"]
    command += [objective_ranks.__file__, ",".join(map(str, shares)), str(output)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=root, check=False)
    assert done.returncode == 0, done.stderr
    return {key: [Result(*result) for result in results] for key, results in torch.load(output).items()}


@pytest.mark.parametrize("micro_batches", MICRO_BATCHES)
@pytest.mark.parametrize("case", CASES)
def test_every_process_has_the_loss_and_gradient_of_the_whole_batch(by_ranks, expected, case, micro_batches):
    ranks, whole = by_ranks[case, micro_batches], expected[case]
    for result in ranks:
        assert distance(result.loss, whole.loss) < RELATIVE
        assert distance(result.network, whole.network) < RELATIVE
        assert result.scalars.keys() == whole.scalars.keys()
        for name, value in whole.scalars.items():
            assert distance(result.scalars[name], value) < RELATIVE, name


@pytest.mark.parametrize("micro_batches", MICRO_BATCHES)
@pytest.mark.parametrize("case", CASES)
def test_the_criterions_own_parameters_stay_the_same_in_all_processes(by_ranks, expected, case, micro_batches):
    """DistributedDataParallel does not see them: their gradients must agree to the last bit."""
    ranks, whole = by_ranks[case, micro_batches], expected[case]
    for result in ranks:
        assert result.criterion.keys() == whole.criterion.keys()
        for name, gradient in result.criterion.items():
            assert torch.equal(gradient, ranks[0].criterion[name]), name
            if len(ranks) == 1:
                assert distance(gradient, whole.criterion[name]) < RELATIVE, name


def distance(found, expected):
    """Compute the relative distance; from zero, which some figures are, the absolute one."""
    return ((found - expected).norm() / (expected.norm() or 1)).item()


def embeddings_of(case):
    """Draw ordinary float32 embeddings, as many views as the objective takes: (M, 16, 8)."""
    generator = torch.Generator().manual_seed(0)
    views = 4 if OBJECTIVES[recipe_of(case).objective].uses_target else 2
    content, noise = torch.randn(16, 8, generator=generator), torch.randn(views, 16, 8, generator=generator)
    return content + noise


def compute(case, embeddings, dtype=None):
    """Loss, scalars and the gradients of trained views and of the criterion; under autocast where there is a dtype."""
    recipe = recipe_of(case)
    criterion = OBJECTIVES[recipe.objective].build(recipe)
    views = [view.clone().requires_grad_(number < 2) for number, view in enumerate(embeddings)]
    with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
        loss, scalars = criterion(views)
    loss.backward()
    learned = [parameter.grad for parameter in criterion.parameters() if parameter.requires_grad]
    return loss.detach(), scalars, [view.grad for view in views[:2]] + learned


def bounded(case):
    return OBJECTIVES[recipe_of(case).objective].bounded


def with_a_row_of(value, views):
    return torch.cat([views[:, :1] * value, views[:, 1:]], dim=1)


ORDINARY_SIZE = {
    "collapsed": lambda views: views[:1, :1].expand_as(views),
    "collapsed in each view": lambda views: views[:, :1].expand_as(views),
    "zero": torch.zeros_like,
    "one row zero": lambda views: with_a_row_of(0.0, views),
    "one dimension constant": lambda views: torch.cat([torch.ones_like(views[..., :1]), views[..., 1:]], dim=-1),
    "duplicated rows": lambda views: views[:, :8].repeat(1, 2, 1),
    "equal views": lambda views: views[:1].expand_as(views),
    "tiny": lambda views: 1e-30 * views,
    "subnormal": lambda views: 1e-40 * views,
    "large": lambda views: 1e8 * views,
}
HUGE = {
    "huge": lambda views: 1e30 * views,
    "the largest": lambda views: views / views.abs().max() * torch.finfo(torch.float32).max,
    "huge and collapsed": lambda views: 1e30 * views[:1, :1].expand_as(views),
    "huge and collapsed in each view": lambda views: 1e30 * views[:, :1].expand_as(views),
    "one row huge": lambda views: with_a_row_of(1e30, views),
}


@pytest.mark.parametrize(
    ("case", "inputs"),
    [(case, inputs) for case in CASES for inputs in ORDINARY_SIZE | (HUGE if bounded(case) else {})],
)
def test_loss_and_gradient_are_finite_on_degenerate_embeddings(case, inputs):
    embeddings = (ORDINARY_SIZE | HUGE)[inputs](embeddings_of(case))
    assert embeddings.isfinite().all()
    loss, scalars, gradients = compute(case, embeddings)
    for value in (loss, *scalars.values(), *gradients):
        assert value.isfinite().all()


@pytest.mark.parametrize("case", [case for case in CASES if not bounded(case)])
def test_a_loss_that_overflows_says_so(case):
    """Rather than being a wrong number: a run checks that its loss is finite."""
    assert not compute(case, HUGE["huge"](embeddings_of(case)))[0].isfinite()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("case", CASES)
def test_float32_is_computed_in_under_autocast(case, dtype):
    halves = embeddings_of(case).to(dtype)
    loss, scalars, gradients = compute(case, halves, dtype)
    whole_loss, whole_scalars, whole_gradients = compute(case, halves.float())
    assert loss.dtype == torch.float32
    assert torch.equal(loss, whole_loss)
    assert all(torch.equal(scalars[name], value) for name, value in whole_scalars.items())
    for gradient, whole in zip(gradients, whole_gradients, strict=True):
        assert torch.equal(gradient, whole.to(gradient.dtype))
