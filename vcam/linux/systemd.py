"""vcam as a systemd user service: its unit, and the messages of a running service.

Words: systemd.unit(5), systemd.service(5), systemd.exec(5). Messages: sd_notify(3), datagrams of
lines.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

UNIT = "vcam.service"
WATCHDOG_S = 30
"""A run from which no picture goes out for so long is ended and started again."""


def program_words() -> list[str]:
    """How this vcam is started from anywhere: the full path of its script, or of Python and the
    module's name.
    """
    script = Path(sys.executable).with_name("vcam.exe" if sys.platform == "win32" else "vcam")
    return [str(script)] if script.exists() else [sys.executable, "-m", "vcam"]


def unit_path(config_home: str, home: Path) -> Path:
    """Where the user's own units are.

    Args:
        config_home: the value of XDG_CONFIG_HOME, or empty.
        home: the user's folder.
    """
    return (Path(config_home) if config_home else home / ".config") / "systemd/user" / UNIT


def unit_text(command: Sequence[str], folder: Path) -> str:
    """The unit.

    Args:
        command: the program by its full path, and its arguments.
        folder: where it runs, so that names of files mean what they mean there.
    """
    return f"""\
[Unit]
Description=vcam, a webcam with a better background
After=graphical-session.target
PartOf=graphical-session.target

[Service]
Type=notify
ExecStart={" ".join(quote(word) for word in command)}
WorkingDirectory=-{str(folder).replace("%", "%%")}
WatchdogSec={WATCHDOG_S}
Restart=on-failure
RestartSec=5
RestartPreventExitStatus=2
TimeoutStopSec=10
StandardOutput=journal
StandardError=journal

[Install]
WantedBy=graphical-session.target
"""


def quote(word: str) -> str:
    """One word of a command line as systemd reads it: "%" and "$" are doubled, the rest is quoted
    as in C.
    """
    plain = word.replace("%", "%%").replace("$", "$$")
    if plain and all(c.isalnum() or c in "%$+,-./:=@_" for c in plain):
        return plain
    escaped = (
        plain.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    )
    return f'"{escaped}"'


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
