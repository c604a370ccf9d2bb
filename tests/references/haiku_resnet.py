"""BYOL's and SSL-HSIC's ResNet from its definition, over haiku's own nested dictionaries, in float64.

Written from the names and conventions alone (SAME padding, averages of the statistics, ε = 1e-5): it shares nothing
with the converter or with our networks. Images are (B, H, W, 3), as in JAX.
"""

import numpy as np
import torch
from torch.nn import functional as F

HEAD = (24, 16)  # hidden and output width of projector and predictor
DEPTHS = {50: ((3, 4, 6, 3), 4), 18: ((2, 2, 2, 2), 1)}  # blocks, and channels of a group over those inside its blocks


def forward(params, state, images, *, root, blocks):
    """Pooled features, (B, D) float64."""
    x = torch.from_numpy(np.asarray(images, np.float64)).permute(0, 3, 1, 2)
    x = _norm(params, state, f"{root}/~/initial_batchnorm", _conv(params, f"{root}/~/initial_conv", x, 2)).relu()
    x = F.max_pool2d(_pad(x, 3, 2, -np.inf), 3, 2)
    for group in range(4):
        for block in range(blocks[group]):
            place = f"{root}/~/block_group_{group}/~/block_{block}/~"
            x = _block(params, state, place, x, 2 if group and not block else 1)
    return x.mean((2, 3))


def head(params, state, name, embeddings):
    """Projector or predictor in eval mode, (B, D) -> (B, d) float64: Linear – BN – ReLU – Linear."""

    def array(nested, module, key):
        return torch.from_numpy(np.asarray(nested[f"{name}/{module}"][key], np.float64))

    x = embeddings @ array(params, "linear", "w") + array(params, "linear", "b")
    mean, variance = (array(state, f"batch_norm/~/{part}", "average") for part in ("mean_ema", "var_ema"))
    x = (x - mean) / (variance + 1e-5).sqrt() * array(params, "batch_norm", "scale")
    return (x + array(params, "batch_norm", "offset")).relu() @ array(params, "linear_1", "w")


def _block(params, state, place, x, stride):
    shortcut = x
    if f"{place}/shortcut_conv" in params:
        shortcut = _conv(params, f"{place}/shortcut_conv", x, stride)
        shortcut = _norm(params, state, f"{place}/shortcut_batchnorm", shortcut)
    last = 2 if f"{place}/conv_2" in params else 1
    strided = 1 if last == 2 else 0  # the 3×3 convolution of a bottleneck, the first of a basic block
    for number in range(last + 1):
        x = _conv(params, f"{place}/conv_{number}", x, stride if number == strided else 1)
        x = _norm(params, state, f"{place}/batchnorm_{number}", x)
        x = x.relu() if number < last else x
    return (x + shortcut).relu()


def _conv(params, module, x, stride):
    weight = torch.from_numpy(params[module]["w"].astype(np.float64)).permute(3, 2, 0, 1)
    return F.conv2d(_pad(x, weight.shape[-1], stride, 0.0), weight, stride=stride)


def _norm(params, state, module, x):
    def channels(array):
        return torch.from_numpy(np.asarray(array, np.float64)).reshape(1, -1, 1, 1)

    mean, variance = (channels(state[f"{module}/~/{name}"]["average"]) for name in ("mean_ema", "var_ema"))
    scale, offset = (channels(params[module][name]) for name in ("scale", "offset"))
    return (x - mean) / (variance + 1e-5).sqrt() * scale + offset


def _pad(x, kernel, stride, value):
    sides = []
    for size in (x.shape[3], x.shape[2]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        sides += [total // 2, total - total // 2]
    return F.pad(x, sides, value=value)


def random_network(depth=50, *, root=None, width=1, first_shortcut=True, seed=0):
    """Parameters and state in haiku's layout, with heads beside the network; statistics like those of training."""
    rng = np.random.default_rng(seed)
    blocks, expansion = DEPTHS[depth]
    root = root or f"res_net{depth}"
    params, state = {}, {}

    def conv(module, kernel, inputs, outputs):
        scale = np.sqrt(2 / (kernel * kernel * inputs))
        params[module] = {"w": (scale * rng.standard_normal((kernel, kernel, inputs, outputs))).astype(np.float32)}

    def norm(module, channels, axes=4):
        shape = (1,) * (axes - 1) + (channels,)
        params[module] = {
            "scale": rng.uniform(0.5, 1.5, shape).astype(np.float32),
            "offset": rng.normal(0, 0.2, shape).astype(np.float32),
        }
        for name, low, high in (("mean_ema", -0.5, 0.5), ("var_ema", 0.5, 2.0)):
            average = rng.uniform(low, high, shape).astype(np.float32)
            counter = np.asarray(3, np.int32)
            state[f"{module}/~/{name}"] = {
                "average": average,
                "hidden": (average * (1 - 0.9**3)).astype(np.float32),
                "counter": counter,
            }

    conv(f"{root}/~/initial_conv", 7, 3, 64 * width)
    norm(f"{root}/~/initial_batchnorm", 64 * width)
    inputs = 64 * width
    for group in range(4):
        inside = 64 * width * 2**group
        outputs = inside * expansion
        for block in range(blocks[group]):
            place = f"{root}/~/block_group_{group}/~/block_{block}/~"
            layers = ((1, inputs, inside), (3, inside, inside), (1, inside, outputs))
            layers = layers if expansion == 4 else ((3, inputs, inside), (3, inside, inside))
            for number, shape in enumerate(layers):
                conv(f"{place}/conv_{number}", *shape)
                norm(f"{place}/batchnorm_{number}", shape[2])
            if block == 0 and (group or first_shortcut):
                conv(f"{place}/shortcut_conv", 1, inputs, outputs)
                norm(f"{place}/shortcut_batchnorm", outputs)
            inputs = outputs
    for head, entering in (("projector", inputs), ("predictor", HEAD[1])):
        for name, shape in (("linear", (entering, HEAD[0])), ("linear_1", HEAD)):
            params[f"{head}/{name}"] = {"w": (0.1 * rng.standard_normal(shape)).astype(np.float32)}
        params[f"{head}/linear"]["b"] = rng.normal(0, 0.1, HEAD[:1]).astype(np.float32)
        norm(f"{head}/batch_norm", HEAD[0], axes=2)
    params["classifier"] = {"w": np.zeros((8, 2), np.float32), "b": np.zeros(2, np.float32)}
    return params, state
