"""Devices and dtypes, from objects or names."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from sslhsic_transfer.errors import ConfigError

_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def as_device(device: torch.device | str | None) -> torch.device | None:
    """Return a device by its name if this machine has it, or ``meta``, which stores no values; None stays None.

    Raises:
        ConfigError: there is no such device, on this machine or at all.
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
    """Return a device to compute on, by its name; None gives the accelerator if there is one, else the CPU.

    Raises:
        ConfigError: there is no such device, or it cannot compute.
    """
    place = as_device(device) or default_device()
    if place.type == "meta":
        raise ConfigError("Got the device meta, but torch computes nothing on it; expected cpu.")
    return place


def as_dtype(dtype: torch.dtype | str | None) -> torch.dtype | None:
    """Return a dtype for weights, from itself or its name, such as ``torch.bfloat16``; None stays None.

    Raises:
        ConfigError: weights cannot be stored in this dtype.
    """
    if dtype is None:
        return None
    found = getattr(torch, dtype.removeprefix("torch."), None) if isinstance(dtype, str) else dtype
    if found not in _DTYPES:
        raise ConfigError(f"Got the dtype {dtype!r}; expected one of {', '.join(map(str, _DTYPES))}.")
    return found


def default_device() -> torch.device:
    """Return the accelerator if there is one, else the CPU."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found or torch.device("cpu")


@contextmanager
def tuned_convolutions() -> Iterator[None]:
    """Let cuDNN measure its fastest kernel for each shape, unless deterministic algorithms are required.

    This pays off if shapes recur, as in pretraining and embedding.
    """
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = before or not torch.are_deterministic_algorithms_enabled()
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
