"""Settings of the process."""

from __future__ import annotations

import platform
import subprocess
import sys

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
