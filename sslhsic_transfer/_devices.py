"""Devices and dtypes, from what a user calls them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from sslhsic_transfer.errors import ConfigError

_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def as_device(device: torch.device | str | None) -> torch.device | None:
    """A device by its name, where this machine has it, or ``meta``, which holds no numbers; None stays None.

    Raises:
        ConfigError: there is no such device, here or at all.
    """
    if device is None:
        return None
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise ConfigError(f"Got the device {device!r}; expected cpu, cuda, cuda:0 or mps.") from error
    if place.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"Got the device {device}, but torch finds no CUDA here; expected cpu, or no device at all.")
    if place.type == "cuda" and (place.index or 0) >= (count := torch.cuda.device_count()):
        raise ConfigError(f"Got the device {device}; this machine has {count}: expected cuda:0 to cuda:{count - 1}.")
    if place.type not in ("cpu", "cuda", "meta"):
        try:
            torch.zeros(1, device=place).cpu()
        except (RuntimeError, AssertionError) as error:
            raise ConfigError(f"Got the device {device}, but torch computes nothing on it; expected cpu.") from error
    return place


def computing_device(device: torch.device | str | None = None) -> torch.device:
    """A device by its name on which torch computes; None: the accelerator where there is one, else the CPU.

    Raises:
        ConfigError: there is no such device, or it holds no numbers.
    """
    place = as_device(device) or default_device()
    if place.type == "meta":
        raise ConfigError("Got the device meta, but torch computes nothing on it; expected cpu.")
    return place


def as_dtype(dtype: torch.dtype | str | None) -> torch.dtype | None:
    """What weights are kept in: ``torch.bfloat16``, or its name; None stays None.

    Raises:
        ConfigError: weights cannot be kept in it.
    """
    if dtype is None:
        return None
    found = getattr(torch, dtype.removeprefix("torch."), None) if isinstance(dtype, str) else dtype
    if found not in _DTYPES:
        raise ConfigError(f"Got the dtype {dtype!r}; expected one of {', '.join(map(str, _DTYPES))}.")
    return found


def default_device() -> torch.device:
    """The accelerator where there is one, else the CPU."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found or torch.device("cpu")


@contextmanager
def tuned_convolutions() -> Iterator[None]:
    """Let cuDNN measure which of its kernels is fastest for each shape, unless deterministic algorithms are asked for.

    It pays where shapes recur, as in pretraining and embedding.
    """
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = before or not torch.are_deterministic_algorithms_enabled()
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
