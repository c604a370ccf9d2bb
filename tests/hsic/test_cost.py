import pytest
import torch

from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.hsic import SSLHSICLoss
from sslhsic_transfer.hsic.cost import Workload, exact_operations, feature_operations


def views(images, count=2, dim=256, trained=2):
    return [torch.ones(images, dim, requires_grad=number < trained) for number in range(count)]


def operations(images, features=512):
    load = Workload(images=images, views=2, dim=256, trained=2)
    return exact_operations(load), feature_operations(load, features, draws=1, debiased=False, low_noise=True)


def test_pairs_grow_with_the_square_of_the_batch_and_features_with_the_batch():
    (exact, features), (exact_of_more, features_of_more) = operations(1000), operations(4000)
    assert exact_of_more == pytest.approx(16 * exact)
    assert features_of_more == pytest.approx(4 * features, rel=0.2)  # directions are made once, whatever the batch


@pytest.mark.parametrize("features", [128, 512, 2048])
def test_auto_takes_the_cheaper(features):
    criterion = SSLHSICLoss(num_features=features)
    for images in (2**power for power in range(5, 17)):
        exact, by_features = operations(images, features)
        assert criterion.is_exact(views(images)) == (exact <= by_features)
    assert criterion.is_exact(views(32))
    assert not criterion.is_exact(views(2**16))


def test_auto_counts_only_the_trained_views_and_all_draws():
    near = next(images for images in range(100, 5000) if not SSLHSICLoss().is_exact(views(images, 4, trained=4)))
    assert SSLHSICLoss().is_exact(views(near, 4, trained=2))
    assert SSLHSICLoss(draws=2).is_exact(views(near, 4, trained=4))
    assert not SSLHSICLoss().is_exact(views(near, 4, trained=0))  # without gradients: as if all had one


def test_what_is_asked_for_is_done_whatever_it_costs():
    assert SSLHSICLoss(estimator="exact").is_exact(views(2**16))
    assert not SSLHSICLoss(estimator="features").is_exact(views(2))
    assert not SSLHSICLoss(estimator="exact", kernel="linear").is_exact(views(2))  # whose features are


def test_the_scalars_say_which_it_was():
    for images, exact in ((32, 1), (4096, 0)):
        _, scalars = SSLHSICLoss(num_features=64)(views(images))
        assert scalars["exact"] == exact


@pytest.mark.parametrize("options", [{"estimator": "kernel"}, {"draws": 0}])
def test_refuses_what_there_is_not(options):
    with pytest.raises(ConfigError, match=f"{next(iter(options))}.*{next(iter(options.values()))}"):
        SSLHSICLoss(**options)
