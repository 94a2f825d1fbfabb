"""Telling systemd that a service is ready and alive: sd_notify(3), which is one datagram
of lines.
"""

from __future__ import annotations

import socket
import sys
from contextlib import suppress
from types import TracebackType
from typing import Self


class Notifier:
    """Sends to the socket that systemd names; does nothing where it names none, and never waits or
    raises.

    Args:
        address: the value of NOTIFY_SOCKET: a path, or "@" and an abstract name; empty: there is no
            systemd.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        if self._address and sys.platform != "win32":
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)  # rather say nothing than hold the caller up
        return self

    def tell(self, *lines: str) -> None:
        """Send lines of the form NAME=VALUE: READY=1, WATCHDOG=1, STOPPING=1, STATUS=some words."""
        if self._socket is None:
            return
        name = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        with suppress(OSError):  # nobody listens any more, or its buffer is full
            self._socket.sendto("\n".join(line.replace("\n", " ") for line in lines).encode(), name)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """May be called twice."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
