"""Small labelled folders for the checks: the bundled pictures, or fewer of them, and a model without training."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch

from sslhsic_transfer import Preprocessing, create_encoder
from sslhsic_transfer.sample import sign_digits
from tools.gpu_checks.check import Bench

_SIDE = 64


def digits(bench: Bench, classes: Sequence[str] = ("0", "1", "5"), train: int = 64, test: int = 32) -> Path:
    """Return the folder of the bundled pictures; a small bench gets so many pictures of some classes."""
    sample = sign_digits()
    if not bench.small:
        return sample.root
    root = bench.folder / "digits"
    for split, count in (("train", train), ("test", test)):
        for label in classes:
            (root / split / label).mkdir(parents=True)
            for path in sorted((sample.root / split / label).iterdir())[:count]:
                shutil.copy(path, root / split / label)
    return root


def untrained_model(bench: Bench) -> Path:
    """Return the folder of a ResNet-18 with random weights, always the same ones."""
    torch.manual_seed(0)
    encoder = create_encoder("resnet18", preprocessing=Preprocessing.for_size(_SIDE))
    return encoder.save_pretrained(bench.folder / "model")
