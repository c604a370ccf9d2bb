"""Kernel dependence: kernels, random features, HSIC and CKA, and the SSL-HSIC loss. All work on tensors."""

from sslhsic_transfer.hsic.estimators import MinibatchCKA, cka, cka_from_features, hsic, hsic_from_features
from sslhsic_transfer.hsic.features import LinearFeatures, RandomFeatures, draw_features
from sslhsic_transfer.hsic.independence import IndependenceTest, independence_test
from sslhsic_transfer.hsic.kernels import KERNELS, Kernel
from sslhsic_transfer.hsic.loss import SSLHSICLoss
from sslhsic_transfer.hsic.terms import HSICTerms, ssl_hsic_loss

__all__ = [
    "KERNELS",
    "HSICTerms",
    "IndependenceTest",
    "Kernel",
    "LinearFeatures",
    "MinibatchCKA",
    "RandomFeatures",
    "SSLHSICLoss",
    "cka",
    "cka_from_features",
    "draw_features",
    "hsic",
    "hsic_from_features",
    "independence_test",
    "ssl_hsic_loss",
]
