from sslhsic_transfer.images import ImageFolder
from sslhsic_transfer.pretrain.monitors import OnlineKNN
from sslhsic_transfer.pretrain.recipe import MonitorSettings
from sslhsic_transfer.pretrain.sources import PretrainingData


def test_what_is_watched_is_spread_over_the_classes_in_whatever_order_they_come(digits):
    """Labels 0, 1, 2, 0, 1, 2, …: every third of these pictures would be of one class."""
    sorted_ = ImageFolder.scan(digits / "train")
    order = sorted(range(72), key=lambda index: (index % 24, index // 24))
    mixed = ImageFolder(
        sorted_.root,
        tuple(sorted_.paths[index] for index in order),
        sorted_.classes,
        tuple(sorted_.labels[index] for index in order),
    )
    assert mixed.labels[:6] == (0, 1, 2, 0, 1, 2)
    settings = MonitorSettings(knn_images=24)
    first, second = (OnlineKNN(PretrainingData("x", pictures), settings).bank for pictures in (sorted_, mixed))
    assert first.labels.bincount().tolist() == second.labels.bincount().tolist() == [8, 8, 8]
    assert all(one.tobytes() == other.tobytes() for one, other in zip(first, second, strict=True))
