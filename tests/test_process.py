"""Settings of the process."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

KEPT = """
import sys
import numpy as np
from vcam.bench.machine import resident_bytes
from vcam.process import set_up_process
if sys.argv[1] == "set up":
    set_up_process()
before = resident_bytes()
frames = [np.ones(6 << 20, np.uint8) for _ in range(8)]
del frames
print(resident_bytes() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of the GNU C library")
def test_the_memory_of_freed_frames_is_kept_for_the_next_ones() -> None:
    """Eight frames of 6 MB; 128 MB may be kept."""

    def kept(word: str) -> int:
        command = [sys.executable, "-c", KEPT, word]
        return int(subprocess.run(command, capture_output=True, check=True).stdout)

    assert kept("set up") > 40 << 20
    assert kept("not") < 16 << 20


HUGE = """
import re
from pathlib import Path
from vcam.process import set_up_process
set_up_process()
import numpy as np
frames = [np.ones(3 << 20, np.uint8) for _ in range(8)]
sizes = re.findall(r"AnonHugePages: +([0-9]+)", Path("/proc/self/smaps").read_text())
print(sum(map(int, sizes)) >> 10)
"""
OFFERED = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or not OFFERED.exists() or "[never]" in OFFERED.read_text(),
    reason="the kernel gives no huge pages",
)
def test_frames_lie_in_huge_pages() -> None:
    """Eight frames of 3 MB, in megabytes of huge pages."""
    done = subprocess.run([sys.executable, "-c", HUGE], capture_output=True, check=True)
    assert int(done.stdout) >= 16
