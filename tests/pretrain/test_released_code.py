"""Differences that remain from the released code: the numbers of the table in docs/pretraining.md."""

import math
from random import Random

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from sslhsic_transfer import create_encoder
from sslhsic_transfer.pretrain.networks import Learner
from sslhsic_transfer.pretrain.schedules import target_decay
from sslhsic_transfer.pretrain.sections import AugmentationSettings
from sslhsic_transfer.pretrain.views import two_views
from sslhsic_transfer.pretrain.views.draws import draw_crop
from sslhsic_transfer.sample import sign_digits
from tests.references.tensorflow_resize import weights


def test_statistics_are_of_the_unbiased_variance_and_keep_a_trace_of_their_start():
    """Haiku keeps the biased variance, debiased as Adam does: here n / (n − 1) more, and 0.9^k of a start at 1."""
    generator = torch.Generator().manual_seed(0)
    norm, count, forwards = nn.BatchNorm2d(3), 16 * 7 * 7, 200
    hidden = torch.zeros(2, 3, dtype=torch.float64)
    for number in range(1, forwards + 1):
        batch = torch.randn(16, 3, 7, 7, generator=generator) * 2 + 1
        norm(batch)
        values = batch.double().transpose(0, 1).flatten(1)
        hidden = 0.9 * hidden + 0.1 * torch.stack([values.mean(1), values.var(1, unbiased=False)])
        mean, variance = hidden / (1 - 0.9**number)
        trace = 0.9**number
        expected = variance * (1 - trace) * count / (count - 1) + trace
        torch.testing.assert_close(norm.running_var.double(), expected, rtol=1e-5, atol=0)
        torch.testing.assert_close(norm.running_mean.double(), mean * (1 - trace), rtol=1e-5, atol=1e-6)
    difference = (norm.running_var.double() / variance - 1).max().item()
    assert difference == pytest.approx(1 / (count - 1), rel=0.01)
    smallest = 4096 * 7 * 7  # values that the last stage's statistics are of, in a step of imagenet-r50
    assert 1 / (smallest - 1) < 5.1e-6
    assert 0.9**200 < 1e-9, "each of a step's two views counts: 100 steps"


def test_the_size_of_initial_weights_cancels():
    """Each weight is followed by a normalization, the last one by the loss's: twice the weights, the same embeddings.

    The remaining difference comes from ε = 1e-5 beside small variances.
    """
    torch.manual_seed(0)
    learner = Learner(create_encoder("resnet18"), hidden_dim=64, embedding_dim=16, uses_target=True).train()
    images = torch.randn(2, 32, 3, 64, 64)
    with torch.no_grad():
        before = [nn.functional.normalize(z, dim=1) for z in learner(*images)]
        for parameter in learner.parameters():
            if parameter.ndim > 1:
                parameter.mul_(2)
        after = [nn.functional.normalize(z, dim=1) for z in learner(*images)]
    assert max((a - b).abs().max().item() for a, b in zip(after, before, strict=True)) < 2e-3


def test_the_target_forgets_how_it_began():
    """It begins as a copy of the online network here, by itself there: of that, 4e-5 is left after 1,000 steps."""
    share = math.prod(target_decay(step, start=0.99, total_steps=312_784) for step in range(1000))
    assert share == pytest.approx(4.3e-5, rel=0.05)


def test_cropped_views_are_bytes():
    """Their own code keeps fractions: half a step of 255 at most, a quarter in the mean."""
    settings = AugmentationSettings(style="byol-jax", size=64)
    path = sorted(sign_digits().test.rglob("*.jpg"))[40]
    picture = Image.open(path).convert("RGB").resize((300, 225), Image.Resampling.BICUBIC)
    picture = Image.fromarray(
        (np.asarray(picture) // 2 + np.random.default_rng(0).integers(0, 99, (225, 300, 3))).astype(np.uint8)
    )
    random, differences = Random(0), []
    boxes = [draw_crop(random, settings, 300, 225) for _ in range(2)]
    for view, ((left, upper, right, lower), flip) in zip(two_views(picture, 0, settings), boxes, strict=True):
        part = np.asarray(picture)[upper:lower, left:right].astype(np.float64)
        expected = np.einsum("yh,hwc,xw->cyx", weights(len(part), 64), part, weights(part.shape[1], 64)).clip(0, 255)
        differences.append(np.abs(view.pixels.numpy() - (expected[:, :, ::-1] if flip else expected)))
    assert np.max(differences) <= 0.5 + 1e-3
    assert np.mean(differences) == pytest.approx(0.25, abs=0.01)
