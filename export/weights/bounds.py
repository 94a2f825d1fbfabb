"""A memory limit while reading a file, for formats in which a small file can expand to a large
size.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_DATA_KB = re.compile(r"^VmData:\s+(\d+) kB$", re.MULTILINE)


@contextmanager
def memory_bound(most_bytes: int) -> Iterator[None]:
    """Limit the additional memory of this process inside the block, on Linux; elsewhere there is no
    limit.

    If an allocation fails, Python raises MemoryError and torch RuntimeError. The limit is
    RLIMIT_DATA, so it counts allocations even if they are never touched, and it applies to all
    threads.
    """
    if sys.platform != "linux":
        yield
        return
    import resource

    found = _DATA_KB.search(Path("/proc/self/status").read_text(encoding="ascii", errors="replace"))
    before = resource.getrlimit(resource.RLIMIT_DATA)
    bound = (int(found[1]) << 10) + most_bytes if found else resource.RLIM_INFINITY
    limits = [x for x in (bound, *before) if x != resource.RLIM_INFINITY]
    resource.setrlimit(
        resource.RLIMIT_DATA, (min(limits, default=resource.RLIM_INFINITY), before[1])
    )
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
