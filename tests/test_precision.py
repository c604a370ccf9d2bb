import pytest
import torch

from sslhsic_transfer import _precision
from sslhsic_transfer._devices import as_device
from sslhsic_transfer._precision import resolve_precision, tensor_float_32
from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.results import hardware


@pytest.mark.parametrize("choice", ["fp32", "bf16", "fp16"])
def test_a_named_precision_is_itself_everywhere(choice):
    assert resolve_precision(choice, torch.device("cuda")) == choice


@pytest.mark.parametrize(
    ("capability", "expected"), [((9, 0), "bf16"), ((8, 0), "bf16"), ((7, 5), "fp32"), ((12, 0), "bf16")]
)
def test_auto_is_bfloat16_on_gpus_that_compute_in_it(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.version, "hip", None)
    assert resolve_precision("auto", torch.device("cuda:0")) == expected


@pytest.mark.parametrize(
    ("bf16", "amx", "expected"), [(True, False, "bf16"), (False, True, "bf16"), (False, False, "fp32")]
)
def test_auto_is_bfloat16_on_processors_with_instructions_for_it(monkeypatch, bf16, amx, expected):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    assert resolve_precision("auto", torch.device("cpu")) == expected


def test_auto_is_float32_elsewhere():
    assert resolve_precision("auto", torch.device("mps")) == "fp32"
    assert _precision.PRECISIONS == ("fp32", "bf16", "fp16")


@pytest.fixture
def switches():
    """The switches of TF32, which come back as they were."""
    places = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [place.allow_tf32 for place in places]
    yield places
    for place, value in zip(places, before, strict=True):
        place.allow_tf32 = value


def test_records_tell_where_float32_is_not_computed_in_full(monkeypatch, switches):
    convolutions, products = switches
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100 80GB HBM3")
    convolutions.allow_tf32, products.allow_tf32 = True, False
    assert hardware("cuda:0") == "1 × NVIDIA H100 80GB HBM3, TF32 in convolutions"
    products.allow_tf32 = True
    assert tensor_float_32() == "TF32 in convolutions and matrix products"
    convolutions.allow_tf32 = products.allow_tf32 = False
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert hardware("cuda:3") == "4 × NVIDIA H100 80GB HBM3, no TF32"


def test_a_device_that_is_not_there_is_refused_by_its_number(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert as_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(ConfigError, match=r"Got the device cuda:2; this machine has 2: expected cuda:0 to cuda:1\."):
        as_device("cuda:2")
