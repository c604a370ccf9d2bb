"""Speed of an encoder and of the files exported from it, measured in turns."""

import statistics
import time
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from sslhsic_transfer.adapters.onnx.runtime.encoder import OnnxEncoder
from sslhsic_transfer.hub.encoder import Encoder
from sslhsic_transfer.models.modes import evaluating

_SECONDS = 0.5  # least duration of each turn
_ROUNDS = 5


def pictures_per_second(
    encoder: Encoder, files: Mapping[str, OnnxEncoder], batch: int, rounds: int = _ROUNDS
) -> dict[str, float]:
    """Measure median speeds at the preprocessing's size, in turns, so that all are equally affected by other load.

    Args:
        encoder: the encoder, measured in float32 under the name ``"torch"``.
        files: encoders of ONNX Runtime by name, with any input but ``"pictures"``.
        batch: number of pictures at once.
        rounds: number of turns of each.

    Returns:
        Pictures per second by name.
    """
    side = encoder.preprocessing.crop
    rng = np.random.default_rng(0)
    images = rng.normal(size=(batch, 3, side, side)).astype(np.float32)
    runs: dict[str, Callable[[], object]] = {"torch": _torch_run(encoder, images)}
    for name, file in files.items():
        given = images if file.info.input == "normalized" else rng.integers(0, 256, (batch, side, side, 3), np.uint8)
        runs[name] = lambda file=file, given=given: file(given)  # type: ignore[misc]
    with evaluating(encoder):
        for run in runs.values():
            run()
        speeds: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(rounds):
            for name, run in runs.items():
                speeds[name].append(batch / _seconds(run))
    return {name: statistics.median(values) for name, values in speeds.items()}


def _torch_run(encoder: Encoder, images: NDArray[np.float32]) -> Callable[[], object]:
    tensor = torch.from_numpy(images).to(encoder.device, encoder.dtype)

    def run() -> object:
        with torch.inference_mode():
            return encoder(tensor).cpu()

    return run


def _seconds(run: Callable[[], object]) -> float:
    """Measure the duration of one call, as the mean over enough calls to fill the least duration."""
    calls, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < _SECONDS or not calls:
        run()
        calls += 1
    return spent / calls
