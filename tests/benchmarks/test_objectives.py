import pytest

from benchmarks.objectives import Plan, comparison_table, trial_table
from sslhsic_transfer.pretrain import load_recipe
from sslhsic_transfer.pretrain.objectives import OBJECTIVES

PLAN = Plan.read()


@pytest.mark.parametrize("name", PLAN.contenders)
def test_every_run_of_the_plan_has_a_recipe(name):
    contender = PLAN.contenders[name]
    assert contender.objective in OBJECTIVES
    changes = [*contender.tuned.values(), *(each for trials in PLAN.trials.get(name, {}).values() for each in trials)]
    for changed in changes:
        run = [f"objective={contender.objective}", "epochs=6"]
        recipe = load_recipe(PLAN.recipe, [*run, *PLAN.base, *contender.settings, *changed])
        assert recipe.objective == contender.objective


def test_what_was_chosen_was_tried():
    for name, sizes in PLAN.trials.items():
        for size, trials in sizes.items():
            assert PLAN.contenders[name].tuned[size] in trials
            assert len(trials) == len({tuple(changed) for changed in trials})


def test_tables_have_a_row_for_each_contender_and_trial():
    figures = {"knn": 0.5, "linear": 0.625, "rankme": 99.6, "images_per_second": 80.2, "epochs": 6}
    rows = [
        *(
            {"contender": "simclr", "batch_size": 64, "seed": seed} | figures | {"knn": knn}
            for seed, knn in ((0, 0.5), (1, 0.75))
        ),
        {"contender": "ssl-hsic", "batch_size": 256, "seed": 0} | figures,
        {"trial": "simclr", "batch_size": 64, "changed": ["optimizer.learning_rate=1e-3"]} | figures,
        {"trial": "simclr", "batch_size": 256, "changed": ["optimizer.learning_rate=1e-3"]} | figures | {"knn": 0.1},
    ]
    assert comparison_table(rows, 64).splitlines()[2:] == ["| simclr | 2 | 62.5 ± 17.7 | 62.5 ± 0.0 | 100 | 80 |"]
    assert comparison_table(rows, 256).splitlines()[2:] == ["| ssl-hsic | 1 | 50.0 | 62.5 | 100 | 80 |"]
    assert trial_table(rows, 64).splitlines()[2:] == ["| simclr | `optimizer.learning_rate=1e-3` | 50.0 | 62.5 | 100 |"]
