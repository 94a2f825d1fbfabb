"""A standard error that never blocks the program, without output of libraries.

A terminal may stop reading (Ctrl-S, a dead ssh), its window may close, and the reader of a pipe may
end. So output to standard error goes to a queue, which a separate thread writes: writing never
blocks and never fails, and output that is not read is dropped.

Libraries write to file descriptor 2 directly. Their output is hidden, except with --verbose.
"""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Any

_MOST_BYTES = 1 << 18
"""Maximum size of the queue; further output is dropped."""
_SHOW_CURSOR = b"\x1b[?25h"


class PatientStream(io.RawIOBase):
    """A binary stream onto a file descriptor whose `write` never waits and never raises.

    Args:
        descriptor: is not closed here.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._is_writing = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """The descriptor that it writes to."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether it writes to a terminal."""
        try:
            return os.isatty(self._descriptor)
        except OSError:
            return False

    def write(self, data: Any) -> int:
        """Queue the data; return the number of bytes, always all of them."""
        content = bytes(data)
        with self._changed:
            if self._bytes + len(content) <= _MOST_BYTES:
                self._waiting.append(content)
                self._bytes += len(content)
                self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="stderr", daemon=True)
                self._thread.start()
        return len(content)

    def drain(self, timeout_s: float) -> bool:
        """Wait until everything is written, or for this long; return whether it is."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not (self._waiting or self._is_writing), timeout_s
            )

    def _work(self) -> None:
        while True:
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting)
                content = self._waiting.popleft()
                self._bytes -= len(content)
                self._is_writing = True
            self._write_out(content)

    def _write_out(self, content: bytes) -> None:
        while content:
            try:
                content = content[os.write(self._descriptor, content) :]
            except BlockingIOError:  # another process made it non-blocking
                time.sleep(0.05)
            except OSError:  # the reader is gone
                return


_stream: PatientStream | None = None
_replaced: int | None = None
"""The program's standard error while descriptor 2 is silenced."""


def install(show_libraries: bool) -> None:
    """Replace `sys.stderr` by a patient stream, and silence libraries. Call once."""
    global _stream, _replaced  # noqa: PLW0603 - a process has one standard error
    if _stream is not None:
        return
    try:
        _replaced = os.dup(2)
    except OSError:  # there is no standard error
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
        return
    _stream = PatientStream(_replaced)
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    sys.stderr = io.TextIOWrapper(
        _stream,  # it writes whole blocks, as a buffer does
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=True,
        write_through=True,
    )
    if not show_libraries:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 2)
        os.close(silent)


def show_libraries() -> None:
    """Show the libraries' output on standard error from now on."""
    if _replaced is not None:
        with suppress(OSError):
            os.dup2(_replaced, 2)


def drain(timeout_s: float = 1.0) -> None:
    """Wait until all output is written, or for this long."""
    with suppress(OSError, ValueError):
        sys.stderr.flush()
    if _stream is not None:
        _stream.drain(timeout_s)


def restore() -> None:
    """Show the cursor, which progress displays hide, if the process ends without them."""
    if _stream is not None and _stream.isatty():
        _stream.write(_SHOW_CURSOR)
