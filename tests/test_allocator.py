"""Oracle: page faults, which Linux counts for a process; nothing is timed."""

import subprocess
import sys

import pytest

from wise_lra.allocator import keep_freed_memory

FAULTS = """
import resource, sys
import torch
from wise_lra.allocator import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

if sys.argv[1] == "keep":
    keep_freed_memory()
for _ in range(60):  # glibc fills holes that are left between small blocks once there are enough of them
    torch.ones(16 << 20)  # 64 MB
before = faults()
for _ in range(5):
    torch.ones(16 << 20)
print(faults() - before)
"""


def faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator takes the order, and Linux counts")
def test_a_large_tensor_takes_the_pages_of_the_one_before() -> None:
    """16,384 pages a tensor, or a 512th of it where the kernel gives large ones."""
    assert faults("keep") <= 5
    assert faults("leave") >= 5 * 32


def test_an_allocator_that_takes_no_order_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wise_lra.allocator._libc", lambda: None)
    assert not keep_freed_memory()
