"""Linear probe: logistic regression on frozen embeddings, with the regularization chosen on validation data.

It follows the linear transfer protocol of BYOL (appendix D): L-BFGS, an ℓ2 penalty from a logarithmic grid chosen on
validation data, a refit on training and validation data together, and a single test. Features are standardized by the
training data's mean and deviation; the protocol does not mention this, but L-BFGS needs it to converge.
"""

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sslhsic_transfer._lazy import optional_import
from sslhsic_transfer.errors import InputError

# Weights of ½‖w‖² relative to the mean log-loss. The protocol has 45 values from 1e-6 to 1e5; values that are never
# chosen with standardized features are left out here.
PENALTIES = tuple(float(value) for value in np.logspace(-5, 1, 9))
VALIDATION_SHARE = 0.2


@dataclass(frozen=True)
class LinearProbe:
    """Result of a probe.

    Attributes:
        accuracy: share of correctly classified test rows.
        penalty: the best ℓ2 penalty on validation data.
        validation_accuracy: accuracy on validation data by penalty.
    """

    accuracy: float
    penalty: float
    validation_accuracy: dict[float, float]


def linear_probe(
    train: Tensor,
    train_labels: Tensor,
    test: Tensor,
    test_labels: Tensor,
    *,
    validation: tuple[Tensor, Tensor] | None = None,
    penalties: tuple[float, ...] = PENALTIES,
    max_iterations: int = 500,
    seed: int = 0,
) -> LinearProbe:
    """Train on ``train``, choose the penalty on validation data, refit on both, and test once.

    Args:
        train: (N, D) embeddings.
        train_labels: (N,) classes.
        test: (T, D) embeddings.
        test_labels: (T,) classes.
        validation: embeddings and labels; None: a fifth of ``train``, stratified, drawn by ``seed``.
        penalties: ℓ2 penalties to choose from.
        max_iterations: largest number of iterations of L-BFGS.
        seed: seed of the split.

    Raises:
        InputError: rows and labels differ in number, there are fewer than two classes, or too few rows to split.
        MissingDependencyError: scikit-learn is not installed.
    """
    optional_import("sklearn", extra="eval", purpose="The linear probe")
    from sklearn.model_selection import train_test_split

    _check(train, train_labels, "train")
    _check(test, test_labels, "test")
    if len(train_labels.unique()) < 2:
        raise InputError("The training labels name one class only; expected two or more.")
    if validation is None:
        check_can_split(train_labels)
        everything = _array(train), _array(train_labels)
        fit_x, val_x, fit_y, val_y = train_test_split(
            *everything, test_size=VALIDATION_SHARE, stratify=everything[1], random_state=seed
        )
    else:
        _check(*validation, "validation")
        fit_x, fit_y = _array(train), _array(train_labels)
        val_x, val_y = map(_array, validation)
    accuracies: dict[float, float] = {}
    start = None
    for penalty in sorted(penalties, reverse=True):  # from strong to weak, each with a warm start from the last
        model = _fit(fit_x, fit_y, penalty, max_iterations, start)
        start = model[-1]
        accuracies[penalty] = float(model.score(val_x, val_y))
    best = max(accuracies, key=lambda penalty: (accuracies[penalty], penalty))
    both_x, both_y = np.concatenate([fit_x, val_x]), np.concatenate([fit_y, val_y])
    model = _fit(both_x, both_y, best, max_iterations)
    return LinearProbe(float(model.score(_array(test), _array(test_labels))), best, accuracies)


def _array(values: Tensor) -> NDArray[Any]:
    return np.asarray(values.detach().cpu())


def check_can_split(labels: Tensor) -> None:
    """Check that a stratified fifth of the training rows can be set aside.

    Raises:
        InputError: a class has only one row, or the fifth has fewer rows than there are classes.
    """
    classes, counts = labels.unique(return_counts=True)
    set_aside = math.ceil(VALIDATION_SHARE * len(labels))
    if int(counts.min()) < 2 or set_aside < len(classes):
        raise InputError(
            f"Got {len(labels)} training pictures of {len(classes)} classes, {int(counts.min())} of the rarest: too "
            "few to set a fifth aside to choose the penalty on. Give validation pictures: validation=… (--val)."
        )


def _fit(x: Any, y: Any, penalty: float, max_iterations: int, start: Any = None) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = LogisticRegression(C=1 / (penalty * len(x)), max_iter=max_iterations, warm_start=start is not None)
    if start is not None:
        classifier.coef_, classifier.intercept_, classifier.classes_ = (
            start.coef_,
            start.intercept_,
            start.classes_,
        )
    model = make_pipeline(StandardScaler(), classifier)
    with warnings.catch_warnings():
        # A fit that stops early is a valid candidate, as validation data decide.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(x, y)


def _check(embeddings: Tensor, labels: Tensor, what: str) -> None:
    if embeddings.ndim != 2 or len(embeddings) != len(labels) or not len(labels):
        raise InputError(
            f"Got {what} embeddings of shape {tuple(embeddings.shape)} and {len(labels)} labels; "
            "expected (N, D) and N ≥ 1."
        )
