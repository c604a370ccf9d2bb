"""The evaluation's pictures of the released code: cut out, then resized by TensorFlow's bicubic, in float64.

Written from the facts: the crop's side is ⌊.875·short side⌋, its corner (free + 1) // 2; centers of pixels lie at
halves; a pixel is the weighted sum of 4 × 4 others by Keys' kernel with a = −½; those beyond the border are left out
and the other weights divided by their sum; nothing is filtered. TensorFlow looks weights up in a table of 1,024 places
between two pixels, which `places` follows.
"""

import numpy as np


def evaluated(picture, *, share=0.875, size=224, places=None):
    """(H, W, 3) uint8 -> (size, size, 3) on the scale 0 to 255, clipped, not rounded."""
    height, width = picture.shape[:2]
    side = int(share * min(height, width))
    top, left = (height - side + 1) // 2, (width - side + 1) // 2
    square = picture[top : top + side, left : left + side].astype(np.float64)
    matrix = weights(side, size, places)
    return np.einsum("yh,hwc,xw->yxc", matrix, square, matrix, optimize=True).clip(0, 255)


def weights(inputs, outputs, places=None):
    """A (outputs, inputs) matrix, filled tap by tap."""
    matrix = np.zeros((outputs, inputs))
    for output in range(outputs):
        center = (output + 0.5) * (inputs / outputs) - 0.5
        first = int(np.floor(center))
        share = center - first
        if places is not None:
            share = np.rint(share * places) / places
        for tap in range(-1, 3):
            if 0 <= first + tap < inputs:
                matrix[output, first + tap] = _keys(abs(tap - share))
        matrix[output] /= matrix[output].sum()
    return matrix


def _keys(x, a=-0.5):
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0
