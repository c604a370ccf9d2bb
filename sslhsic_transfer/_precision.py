"""Precision of forward passes, as named in recipes, settings and arguments."""

from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    import torch

Precision = Literal["fp32", "bf16", "fp16"]
PRECISIONS: tuple[str, ...] = get_args(Precision)
StoredType = Literal["float32", "float16"]  # of values in files
PrecisionChoice = Literal["auto", "fp32", "bf16", "fp16"]


def resolve_precision(choice: PrecisionChoice, device: "torch.device") -> Precision:
    """Return the precision that a choice means on a device.

    Args:
        choice: ``"auto"`` is bfloat16 if the device computes in it natively (NVIDIA from compute capability 8.0, CPUs
            with AVX512-BF16 or AMX), else float32.
        device: where to compute.
    """
    if choice != "auto":
        return choice
    return "bf16" if _computes_in_bfloat16(device) else "fp32"


def _computes_in_bfloat16(device: "torch.device") -> bool:
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0) if torch.version.hip is None else True
    if device.type == "cpu":
        return any(getattr(torch.cpu, f"_is_{feature}_supported", bool)() for feature in ("avx512_bf16", "amx_tile"))
    return False


def tensor_float_32() -> str:
    """Tell where float32 is computed in TensorFloat-32 on CUDA, which keeps ten bits of the fraction."""
    import torch

    places = {
        "convolutions": torch.backends.cudnn.allow_tf32,
        "matrix products": torch.backends.cuda.matmul.allow_tf32,
    }
    used = [place for place, allowed in places.items() if allowed]
    return f"TF32 in {' and '.join(used)}" if used else "no TF32"
