"""Probes on the device beside scikit-learn and faiss on the CPU: weighted k-NN, the classifier in closed form.

The linear probe of the protocols is scikit-learn's logistic regression on the CPU, whatever the embeddings lie on: it
has a time here, and nothing to be compared with.
"""

import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from benchmarks.gpu_parts.clock import forget, peak_gib, seconds_of
from benchmarks.gpu_parts.report import Figure, Report
from benchmarks.gpu_parts.settings import Settings
from sslhsic_transfer.metrics.knn import TEMPERATURE, knn_predict
from sslhsic_transfer.metrics.linear import linear_probe
from sslhsic_transfer.metrics.ridge import PENALTIES, ridge_accuracy

_K = 20
_FEW_CLASSES, _FEW_ROWS = 10, 2000
_UNIT = "s"
_AGREEMENT = 0.995
_NEAR = 0.01  # accuracies by two choices of a penalty may differ by this much
_SPREAD = 0.25  # deviation of the classes' centers, beside a noise of 1


def run(report: Report, settings: Settings) -> None:
    """Measure all, one after the other."""
    work = _Work(settings)
    rows = f"{len(work.bank):,} × {work.bank.shape[1]}, {len(work.queries):,} queries"
    knn = f"k-NN, ours ({rows})"
    report.measure(knn, _UNIT, work.knn)
    for name, function in (("scikit-learn", work.knn_by_sklearn), ("faiss", work.knn_by_faiss)):
        report.measure(f"k-NN, {name}, CPU", _UNIT, function, peer=True)
        report.ratio(f"k-NN: {name} / ours, time", f"k-NN, {name}, CPU", knn, at_least=1.0)
        agreement = work.agreement(name)
        report.judge(f"k-NN: same class as {name}'s", agreement, at_least=_AGREEMENT, note="not both ran")
    ridge = "closed form (ridge), ours"
    report.measure(ridge, _UNIT, work.ridge)
    report.measure("closed form, scikit-learn, CPU", _UNIT, work.ridge_by_sklearn, peer=True)
    report.ratio("closed form: scikit-learn / ours, time", "closed form, scikit-learn, CPU", ridge, at_least=1.0)
    report.judge("closed form: accuracies differ by", work.difference(), at_most=_NEAR, note="not both ran")
    report.measure("linear probe, L-BFGS: scikit-learn's, on the CPU today", _UNIT, work.linear)


class _Work:
    """Embeddings of a few classes, and what was made of them."""

    def __init__(self, settings: Settings) -> None:
        self.place = settings.place
        rows, queries, dim, classes = (2000, 400, 64, 10) if settings.quick else (100_000, 10_000, 512, 100)
        generator = torch.Generator().manual_seed(0)
        centers = _SPREAD * torch.randn(classes, dim, generator=generator)
        self.labels = torch.randint(classes, (rows,), generator=generator)
        self.truth = torch.randint(classes, (queries,), generator=generator)
        self.bank, self.queries = (
            centers[labels] + torch.randn(len(labels), dim, generator=generator) for labels in (self.labels, self.truth)
        )
        self.classes: dict[str, NDArray[np.int64]] = {}  # library -> classes of the queries by k-NN
        self.accuracies: dict[str, float] = {}  # library -> accuracy of the closed form

    def knn(self) -> Figure:
        """Run `knn_predict` on embeddings that lie on the device."""
        forget(self.place)
        bank, labels, queries = (values.to(self.place) for values in (self.bank, self.labels, self.queries))
        seconds = seconds_of(lambda: knn_predict(bank, labels, queries, k=_K), self.place)
        found = knn_predict(bank, labels, queries, k=_K).cpu()
        self.classes["ours"] = found.numpy()
        return Figure(seconds, {"accuracy": self._accuracy(found.numpy())} | peak_gib(self.place))

    def knn_by_sklearn(self) -> Figure:
        """Run k-NN on unit vectors, whose Euclidean distance tells the cosine."""
        from sklearn.neighbors import KNeighborsClassifier

        def weights(distances: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.exp(-(distances**2) / 2 / TEMPERATURE)

        bank, queries = self._unit()
        model = KNeighborsClassifier(_K, weights=weights, algorithm="brute", n_jobs=-1)
        return self._timed("scikit-learn", lambda: model.fit(bank, self.labels.numpy()).predict(queries))

    def knn_by_faiss(self) -> Figure:
        """Run a flat index and the same votes."""
        import faiss

        bank, queries = self._unit()

        def predict() -> NDArray[np.int64]:
            index = faiss.IndexFlatIP(bank.shape[1])
            index.add(bank)
            nearest, rows = index.search(queries, _K)
            weights = torch.from_numpy(np.exp((nearest - 1) / TEMPERATURE))
            votes = torch.zeros(len(queries), int(self.labels.max()) + 1)
            votes.scatter_add_(1, self.labels[torch.from_numpy(rows)], weights)
            return votes.argmax(dim=1).numpy()

        return self._timed("faiss", predict)

    def ridge(self) -> Figure:
        """Run `ridge_accuracy` on embeddings that lie on the device."""
        forget(self.place)
        values = [each.to(self.place) for each in (self.bank, self.labels, self.queries, self.truth)]
        seconds = seconds_of(lambda: ridge_accuracy(*values), self.place)
        accuracy = ridge_accuracy(*values)
        self.accuracies["ours"] = accuracy
        return Figure(seconds, {"accuracy": accuracy} | peak_gib(self.place))

    def ridge_by_sklearn(self) -> Figure:
        """Fit with the same penalties, chosen likewise without a validation set."""
        from sklearn.linear_model import RidgeClassifierCV
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        train, test = self.bank.double().numpy(), self.queries.double().numpy()
        model = make_pipeline(StandardScaler(), RidgeClassifierCV([penalty * len(train) for penalty in PENALTIES]))
        start = time.perf_counter()
        accuracy = float(model.fit(train, self.labels.numpy()).score(test, self.truth.numpy()))
        self.accuracies["scikit-learn"] = accuracy
        return Figure(time.perf_counter() - start, {"accuracy": accuracy})

    def linear(self) -> Figure:
        """Run the protocol's probe, on few rows and classes, since it is on the CPU anyway."""
        train, test = (labels < _FEW_CLASSES for labels in (self.labels, self.truth))
        train &= train.cumsum(0) <= _FEW_ROWS
        values = [each.to(self.place) for each in (self.bank[train], self.queries[test])]
        start = time.perf_counter()
        found = linear_probe(values[0], self.labels[train], values[1], self.truth[test])
        return Figure(time.perf_counter() - start, {"accuracy": found.accuracy, "training rows": len(values[0])})

    def agreement(self, peer: str) -> float | None:
        """Return the share of queries that a peer's k-NN gives the same class; None: one of the two did not run."""
        if not {"ours", peer} <= self.classes.keys():
            return None
        return float(np.mean(self.classes["ours"] == self.classes[peer]))

    def difference(self) -> float | None:
        """Return the difference between the accuracies of the closed forms; None: one of the two did not run."""
        values = list(self.accuracies.values())
        return abs(values[0] - values[1]) if len(values) == 2 else None

    def _unit(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return F.normalize(self.bank, dim=1).numpy(), F.normalize(self.queries, dim=1).numpy()

    def _timed(self, name: str, predict: Callable[[], NDArray[np.int64]]) -> Figure:
        start = time.perf_counter()
        found = predict()
        seconds = time.perf_counter() - start
        self.classes[name] = found
        return Figure(seconds, {"accuracy": self._accuracy(found)})

    def _accuracy(self, predicted: NDArray[np.int64]) -> float:
        return float(np.mean(predicted == self.truth.numpy()))
