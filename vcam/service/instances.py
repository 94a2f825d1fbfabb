"""State files of running vcam instances: one small JSON file each, in a folder that only their user
can read.
"""

from __future__ import annotations

import json
import math
import os
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vcam.files import entries, is_own, read_bounded, write_whole

_MOST_BYTES = 1 << 16
SILENT_S = 10.0
"""A vcam that has been silent for this long hangs; where processes cannot be looked up, it counts
as ended.
"""

Record = dict[str, Any]
"""JSON content. "pid", "started" and "updated" (Unix time in seconds) are added here."""


def instances_folder(runtime: str | None) -> Path:
    """The folder of the files: below XDG_RUNTIME_DIR, else in the user's cache folder.

    Args:
        runtime: the value of XDG_RUNTIME_DIR.
    """
    import platformdirs

    if runtime:
        return Path(runtime) / "vcam"
    return Path(platformdirs.user_cache_dir("vcam", appauthor=False)) / "running"


class Instance:
    """The file of this process. Write errors are ignored: the file only informs.

    Args:
        folder: see `instances_folder`; created if missing.
        proc: the /proc folder.
    """

    def __init__(self, folder: Path, proc: Path = Path("/proc")) -> None:
        self._path = folder / f"{os.getpid()}.json"
        self._proc = proc
        self._about: Record = {}

    def __enter__(self) -> Self:
        self._about = {
            "pid": os.getpid(),
            "started": time.time(),
            "start_ticks": _start_ticks(self._proc, os.getpid()),
        }
        with suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self

    def write(self, record: Record) -> None:
        """Replace the content of the file."""
        with suppress(OSError):
            if not is_own(self._path.parent):  # other users could replace the content
                return
            write_whole(
                self._path,
                json.dumps({**self._about, "updated": time.time(), **record}) + "\n",
                0o600,
                durable=False,
            )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the file. May be called twice."""
        with suppress(OSError):
            self._path.unlink()


def list_instances(folder: Path, proc: Path = Path("/proc")) -> list[Record]:
    """Read the records of running instances, oldest first; remove the files of ended ones.

    Each record gets "silent_s": seconds since its last update.
    """
    found = []
    for path in entries(folder, "*.json"):
        record = _read(path)
        if record is None:
            continue
        record["silent_s"] = max(0.0, time.time() - _number(record, "updated"))
        if _is_alive(record, proc):
            found.append(record)
        else:
            with suppress(OSError):
                path.unlink()
    return sorted(found, key=lambda record: _number(record, "started"))


def _read(path: Path) -> Record | None:
    try:
        if not is_own(path):
            return None
        record = json.loads(read_bounded(path, _MOST_BYTES))
    except (OSError, ValueError, RecursionError):  # removed meanwhile, or not a record
        return None
    return record if isinstance(record, dict) and type(record.get("pid")) is int else None


def _number(record: Record, key: str) -> float:
    """A number in a record; 0 if missing."""
    try:
        value = float(record.get(key, 0))
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return value if math.isfinite(value) else 0.0


def _is_alive(record: Record, proc: Path) -> bool:
    """Whether the process is still the one that wrote the record: numbers are reused, but with
    another start time.
    """
    if not (proc / "self").exists():
        return float(record["silent_s"]) < SILENT_S
    ticks = _start_ticks(proc, record["pid"])
    return ticks is not None and ticks == record.get("start_ticks")


def _start_ticks(proc: Path, pid: int) -> int | None:
    """Start time of a process in clock ticks after boot: field 22 of
    proc_pid_stat(5).
    """
    try:
        text = (proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        return int(
            text.rpartition(")")[2].split()[19]
        )  # the name before it may contain spaces and brackets
    except (OSError, ValueError, IndexError):
        return None
