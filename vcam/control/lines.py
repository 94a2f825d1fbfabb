"""The command line's connection to a running vcam: one JSON object per line, over a Unix socket.
Imports little, to be fast.

A request: {"do": NAME, ...}; a response: {"result": ...} or {"error": TEXT}.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

from vcam.errors import UsageError, VcamError

_PATIENCE_S = 60.0
"""Seconds; a change of the engine may have to load one."""
MOST_BYTES = 64 * 1024


def socket_path(folder: Path, pid: int) -> Path:
    """The socket of the run in that process."""
    return folder / f"{pid}.sock"


def find_run(folder: Path) -> Path:
    """The socket of the most recently started run.

    Raises:
        UsageError: there is no run.
    """
    found = sorted(folder.glob("*.sock"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in found:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(path))
            except OSError:  # left behind by an ended process
                continue
            return path
    if any(_lives(path.stem) for path in folder.glob("*.json")):
        raise UsageError(
            "the vcam that runs writes files or nothing, and keeps its settings;"
            " stop it with Ctrl-C"
        )
    raise UsageError("no vcam runs that could be changed; start one with `vcam run`")


def _lives(pid: str) -> bool:
    """Whether a process of this user has this number."""
    if sys.platform == "win32":  # signal 0 is Ctrl-C there
        return False
    try:
        os.kill(int(pid), 0)
    except (OSError, ValueError, OverflowError):
        return False
    return True


def ask(folder: Path, do: str, **more: Any) -> Any:
    """Send a request to the run and return its result.

    Raises:
        UsageError: there is no run.
        VcamError: the run rejects the request, for the given reason.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise UsageError("this needs Unix sockets; on this system use the page: `vcam run --ui`")
    path = find_run(folder)
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(_PATIENCE_S)
        try:
            line.connect(str(path))
            line.sendall(json.dumps({"do": do, **more}).encode() + b"\n")
            with line.makefile("rb") as answers:
                answer = json.loads(answers.readline() or b"{}")
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{path}: the run does not answer ({error}); see `vcam status`"
            ) from error
    if "error" in answer:
        raise VcamError(str(answer["error"]))
    return answer.get("result")
