"""The colors of the released code's views, one picture and one pixel at a time, in float64.

Written from the facts alone: every operation of the jitter ends in [0, 1], brightness is added, contrast is about each
channel's mean, saturation and hue are HSV's (here the standard library's), blur is a convolution with a black border,
solarising inverts what is at least a half, and the result is clipped once more.
"""

import colorsys

import numpy as np

LUMA = np.array([0.2989, 0.5870, 0.1140])


def colored(picture, *, order, brightness, contrast, saturation, hue, gray, sigma, solarize, taps):
    """A picture (3, H, W) on [0, 1] -> the same; ``order`` names the jitter's operations, 0 to 3, in turn."""
    x = np.asarray(picture, np.float64)
    for operation in order:
        if operation == 0:
            x = x + brightness
        elif operation == 1:
            mean = x.mean(axis=(1, 2), keepdims=True)
            x = contrast * (x - mean) + mean
        elif operation == 2:
            x = _through_hsv(x, lambda h, s, v: (h, min(max(s * saturation, 0.0), 1.0), v))
        else:
            x = _through_hsv(x, lambda h, s, v: ((h + hue) % 1.0, s, v))
        x = x.clip(0, 1)
    if gray:
        x = np.broadcast_to(np.tensordot(LUMA, x, 1), x.shape)
    x = x.clip(0, 1)
    if sigma:
        x = np.stack([_blurred(_blurred(channel, sigma, taps).T, sigma, taps).T for channel in x])
    if solarize:
        x = np.where(x < 0.5, x, 1 - x)
    return x.clip(0, 1)


def _through_hsv(x, change):
    flat = [colorsys.hsv_to_rgb(*change(*colorsys.rgb_to_hsv(*pixel))) for pixel in x.reshape(3, -1).T.tolist()]
    return np.array(flat).T.reshape(x.shape)


def _blurred(rows, sigma, taps):
    offsets = np.arange(taps) - taps // 2
    kernel = np.exp(-(offsets**2) / (2 * sigma**2))
    return np.stack([np.convolve(row, kernel / kernel.sum(), mode="full")[taps // 2 :][: len(row)] for row in rows])
