"""The objective: kernels, their random features, and the SSL-HSIC loss. Tensors in, tensors out; knows no model."""

from sslhsic_transfer.hsic.features import RandomFeatures, draw_features
from sslhsic_transfer.hsic.kernels import KERNELS, Kernel
from sslhsic_transfer.hsic.loss import SSLHSICLoss, ssl_hsic_loss

__all__ = ["KERNELS", "Kernel", "RandomFeatures", "SSLHSICLoss", "draw_features", "ssl_hsic_loss"]
