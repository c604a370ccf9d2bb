"""The table of all checks."""

from tools.gpu_checks import embedding, export, features, loss, pretraining, transfer
from tools.gpu_checks.check import Check

CHECKS: tuple[Check, ...] = (
    *features.CHECKS,
    *loss.CHECKS,
    *pretraining.CHECKS,
    *embedding.CHECKS,
    *transfer.CHECKS,
    *export.CHECKS,
)
