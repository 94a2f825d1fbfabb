"""Small text files and the folders that they are in."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def entries(folder: Path, pattern: str = "*") -> list[Path]:
    """What in a folder matches, as far as this user can see; nothing where there is no such folder."""
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []


def write_whole(path: Path, text: str, mode: int) -> None:
    """Write a file whole or not at all: into a file beside it, which then takes its name.

    Args:
        path: of the file; its folder must exist.
        text: all that is to be in it.
        mode: its permission bits.

    Raises:
        OSError: it cannot be written.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    partial = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        partial.chmod(mode)
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
