"""Fingerprint of weights: the hash of their file, and the features that they give for a fixed input.

The hash detects a damaged or replaced file. The features detect a network that computes something else from the right
weights: other padding, another order of layers, a broken kernel.
"""

import torch

from sslhsic_transfer.errors import FingerprintError
from sslhsic_transfer.hub.config_file import FEATURES_KEPT, Fingerprint
from sslhsic_transfer.models.encoder import EncoderBase
from sslhsic_transfer.models.modes import evaluating

PROBE_SIZE = 64
# Relative to the norm of the recorded features. Convolution libraries differ by about 1e-6, float16 storage by 1e-3.
TOLERANCE = 5e-3


def probe_image() -> torch.Tensor:
    """Return the fixed input, (1, 3, 64, 64) float32: waves that differ between channels, without random numbers."""
    position = torch.arange(PROBE_SIZE, dtype=torch.float64)
    rows, columns = torch.meshgrid(position, position, indexing="ij")
    waves = [torch.sin((0.11 + 0.07 * k) * rows + (0.29 - 0.05 * k) * columns + k) for k in range(3)]
    return (2.0 * torch.stack(waves))[None].float()


@torch.no_grad()
def probe_features(encoder: EncoderBase, image: torch.Tensor) -> list[float]:
    """Return the first values of an image's embedding, computed in eval mode on the encoder's device.

    Args:
        encoder: in any mode, which stays.
        image: (1, 3, H, W), as of `probe_image`.
    """
    with evaluating(encoder):
        embedding = encoder(image.to(encoder.device, encoder.dtype))[0]
    kept: list[float] = embedding[:FEATURES_KEPT].double().cpu().tolist()
    return kept


def check_features(encoder: EncoderBase, fingerprint: Fingerprint, *, source: str) -> None:
    """Compare an encoder's features with the recorded ones.

    Raises:
        FingerprintError: they differ by more than rounding explains.
    """
    expected = torch.tensor(fingerprint.features, dtype=torch.float64)
    found = torch.tensor(probe_features(encoder, probe_image()), dtype=torch.float64)
    difference = ((found - expected).norm() / expected.norm().clamp_min(1e-12)).item()
    if not difference <= TOLERANCE:
        raise FingerprintError(
            f"{source}: the encoder's features of the fixed input differ from the recorded ones by {difference:.2%} "
            f"(at most {TOLERANCE:.2%} is rounding). config.json and the weights do not belong together, or this "
            "version computes another network: load the matching config.json, or save the model again from its source."
        )
