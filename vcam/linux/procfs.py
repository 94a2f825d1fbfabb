"""Programs that have a file open or mapped, from /proc.

Only root sees the programs of other users.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def processes_with(path: str) -> list[Path]:
    """Folders in /proc of other processes that have a file open and are visible to this
    user.
    """
    own = str(os.getpid())
    found = []
    with os.scandir("/proc") as entries:
        processes = [entry.name for entry in entries if entry.name.isdigit() and entry.name != own]
    for number in processes:
        folder = f"/proc/{number}/fd"
        with suppress(OSError):  # it may have ended, or belong to another user
            if any(_target(f"{folder}/{name}") == path for name in os.listdir(folder)):  # noqa: PTH208  - many files
                found.append(Path("/proc", number))
    return found


def _target(link: str) -> str:
    try:
        return os.readlink(link)  # noqa: PTH115  - many files
    except OSError:
        return ""


def has_mapped(process: Path, path: str) -> bool:
    """Whether a process, given by its folder in /proc, has mapped a file; False if it has
    ended.
    """
    try:
        return f" {path}\n" in (process / "maps").read_text(errors="replace")
    except OSError:
        return False


def holders(path: str) -> list[str]:
    """Other programs that have a file open, as "name (pid)"."""
    found = []
    for process in processes_with(os.path.realpath(path)):
        with suppress(OSError):  # it has ended meanwhile
            name = (process / "comm").read_text(errors="replace").strip()
            found.append(f"{name} ({process.name})")
    return found


def held_by(path: str) -> str:
    """The programs that have a node open, and the next step, for messages."""
    names = holders(path)
    if names:
        return f"it is held by {', '.join(names)}: stop that program first"
    return f"no program of yours holds it: see `sudo fuser -v {path}`"
