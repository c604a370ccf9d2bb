import pytest
import torch

from sslhsic_transfer import _memory
from sslhsic_transfer._memory import advising_on_memory, free_memory
from sslhsic_transfer.errors import DeviceMemoryError, SSLHSICError


def test_memory_that_is_free_is_some_of_this_machines():
    import psutil

    assert 0 < free_memory(torch.device("cpu")) <= psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        (
            {"memory.max": "1000\n", "memory.current": "700\n", "memory.stat": "anon 400\ninactive_file 300\n"},
            600,
        ),
        ({"memory.max": "max\n", "memory.current": "700\n", "memory.stat": "inactive_file 1\n"}, 2**63),
        (
            {
                "memory/memory.limit_in_bytes": "1000",
                "memory/memory.usage_in_bytes": "1100",
                "memory/memory.stat": "total_inactive_file 20\n",
            },
            0,
        ),
        ({}, 2**63),
    ],
    ids=["version 2", "without a limit", "version 1", "no group"],
)
def test_limits_of_containers(tmp_path, contents, expected):
    for name, text in contents.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert _memory._free_in_group(tmp_path) == expected


def test_want_of_memory_on_a_device_names_the_setting_to_lower():
    with (
        pytest.raises(DeviceMemoryError, match=r"Tried to allocate 9 GiB\)\. Set batch_size=4\.$") as caught,
        advising_on_memory("Set batch_size=4."),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB. GPU 0 has 8 GiB in all.")
    assert isinstance(caught.value, SSLHSICError | MemoryError)


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="size mismatch"), advising_on_memory("Set batch_size=4."):
        raise RuntimeError("size mismatch")
