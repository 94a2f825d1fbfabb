"""The systemd user service: its unit file, and notifications from the running service.

Formats: systemd.unit(5), systemd.service(5), systemd.exec(5). Notifications: sd_notify(3),
datagrams of lines.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from vcam.errors import UsageError
from vcam.text import one_line

UNIT = "vcam.service"
WATCHDOG_S = 30
"""Seconds without a sent picture after which systemd restarts the run."""


def program_words() -> list[str]:
    """The command that starts this vcam from any folder: the full path of its script, or Python and
    the module's name.
    """
    script = Path(sys.executable).with_name("vcam.exe" if sys.platform == "win32" else "vcam")
    return [str(script)] if script.exists() else [sys.executable, "-m", "vcam"]


def unit_path(config_home: str, home: Path) -> Path:
    """The path of the user's unit.

    Args:
        config_home: the value of XDG_CONFIG_HOME, or empty.
        home: the user's folder.
    """
    return (Path(config_home) if config_home else home / ".config") / "systemd/user" / UNIT


def unit_text(command: Sequence[str], folder: Path) -> str:
    """The text of the unit.

    Args:
        command: the full path of the program, and its arguments.
        folder: the working folder, so that relative file names keep their meaning.

    Raises:
        UsageError: a unit file cannot express the name of the folder.
    """
    return f"""\
[Unit]
Description=vcam, a webcam with a better background
After=graphical-session.target
PartOf=graphical-session.target

[Service]
Type=notify
ExecStart={" ".join(quote(word) for word in command)}
WorkingDirectory=-{_folder_text(folder)}
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


def _folder_text(folder: Path) -> str:
    """A folder as the value of WorkingDirectory, which supports no quotes and no escapes."""
    text = str(folder)
    if not text.isprintable() or text != text.strip() or text.endswith("\\"):
        raise UsageError(
            f"{one_line(text)}: systemd cannot start a service in a folder of this name; "
            "install the service from another folder"
        )
    return text.replace("%", "%%")


def quote(word: str) -> str:
    """Quote one word of a command line for systemd: "%" and "$" are doubled, the rest is quoted as
    in C. No character can end the line.
    """
    plain = word.replace("%", "%%").replace("$", "$$")
    if plain and all(c.isalnum() or c in "%$+,-./:=@_" for c in plain):
        return plain
    return f'"{"".join(_escaped(c) for c in plain)}"'


def _escaped(character: str) -> str:
    if character in '\\"':
        return f"\\{character}"
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))


class Notifier:
    """Sends to systemd's notification socket; does nothing without one, and never blocks or
    raises.

    Args:
        address: the value of NOTIFY_SOCKET: a path, or "@" and an abstract name; empty: systemd is
            not involved.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        if self._address and sys.platform != "win32":
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)  # drop the message rather than block
        return self

    def tell(self, *lines: str) -> None:
        """Send lines of the form NAME=VALUE: READY=1, WATCHDOG=1, STOPPING=1, STATUS=text."""
        if self._socket is None:
            return
        name = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        with suppress(OSError):  # the receiver is gone, or its buffer is full
            self._socket.sendto("\n".join(line.replace("\n", " ") for line in lines).encode(), name)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket. May be called twice."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
