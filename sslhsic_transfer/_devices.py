"""Where to compute when nobody says so."""

import torch

from sslhsic_transfer.errors import ConfigError


def as_device(device: torch.device | str | None) -> torch.device | None:
    """A device by its name, where this machine has it; None stays None.

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
    return place


def default_device() -> torch.device:
    """The accelerator where there is one, else the CPU."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found or torch.device("cpu")
