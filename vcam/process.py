"""Process-wide settings, for programs that only run vcam.

The command line applies them; the library never does, because they affect its host program.
"""

from __future__ import annotations

import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8
"""From malloc.h of the GNU C library."""
_USUAL_TOP_PAD_BYTES = 128 << 10
_MADV_HUGEPAGE, _PAGE_BYTES = 14, 2 << 20
"""From asm-generic/mman-common.h of Linux; the size of a huge page on x86-64 and arm64."""
_KEPT_BYTES = 128 << 20
_LARGEST_BLOCK_BYTES = 32 << 20


def set_up_process() -> None:
    """Give the cores to the pipeline's threads, and keep freed memory; see `keep_freed_memory`."""
    import cv2

    cv2.setNumThreads(1)  # the pipeline's own threads are the parallelism
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Configure the GNU C library to keep the memory of freed frames, in huge pages.

    Every frame allocates and frees a few buffers of megabytes. By default each of them is mapped
    and unmapped, and the page faults cost more than the arithmetic (refining a 720p matte: 2.3 ms
    with, 0.32 ms without). A no-op with any other C library.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_BLOCK_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, 2 * _KEPT_BYTES)
        _take_huge_pages(libc)


def _take_huge_pages(libc: ctypes.CDLL) -> None:
    """Grow the heap once, and request huge pages for the new part; only what is used counts.

    Address translation of ordinary pages costs the engine and everything else a fifth of its time,
    in virtual machines and beside other programs. All threads share this heap.
    """
    libc.sbrk.restype = libc.malloc.restype = ctypes.c_void_p
    libc.sbrk.argtypes = [ctypes.c_ssize_t]
    libc.malloc.argtypes = [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    libc.mallopt(_M_ARENA_MAX, 1)
    start = libc.sbrk(0)
    libc.mallopt(_M_TOP_PAD, _KEPT_BYTES)
    libc.free(libc.malloc(_LARGEST_BLOCK_BYTES - _PAGE_BYTES))
    libc.mallopt(_M_TOP_PAD, _USUAL_TOP_PAD_BYTES)
    start, end = -(-start // _PAGE_BYTES) * _PAGE_BYTES, libc.sbrk(0)
    if end > start:
        libc.madvise(start, end - start, _MADV_HUGEPAGE)  # a wish: refused, nothing changes


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
