"""Files that appear under their final name only when they are complete."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from vcam.errors import SinkError


def partial_of(path: Path) -> Path:
    """Where `path` is written to until it is complete: beside it, with the same suffix."""
    return path.with_name(f"{path.stem}.partial-{os.getpid()}{path.suffix}")


def claim(path: Path, overwrite: bool) -> Path:
    """Make sure that `path` can be written; returns the empty temporary file beside it.

    Raises:
        SinkError: it exists and may not be replaced, or its folder is missing or may not be written
            to.
    """
    if path.is_dir():
        raise SinkError(f"{path} is a folder; name a file in it")
    if path.exists() and not overwrite:
        raise SinkError(
            f"{path} exists already; replace it with --overwrite, or choose another name"
        )
    partial = partial_of(path)
    try:
        partial.touch()
    except OSError as error:
        raise SinkError(f"{path}: {reason(error)}") from error
    return partial


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that is either complete or not there.

    Raises:
        OSError: it could not be written; nothing is left.
    """
    partial = partial_of(path)
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except BaseException:
        discard(partial)
        raise


def discard(partial: Path) -> None:
    """Remove what was not finished."""
    with suppress(OSError):
        partial.unlink(missing_ok=True)


def reason(error: Exception) -> str:
    """What went wrong with a file and what to do about it."""
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; make room or write to another one"
    if number == errno.EFBIG:
        return "the file has become too large for this disk or account; write to another one"
    if number == errno.ENOENT:
        return "its folder does not exist; create it first"
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{os.strerror(number)}; choose a folder that you may write to"
    return (os.strerror(number) if number else str(error)) + "; try another name or folder"
