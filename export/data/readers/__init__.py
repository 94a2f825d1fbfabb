"""Readers of the sets that people train on, each in the layout in which it is given out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from export.data.person import Labelled, shrunk
from export.data.readers.base import Entry, Reader
from export.data.readers.celeba import CelebAMaskHq
from export.data.readers.easyportrait import EasyPortrait
from export.data.readers.manifest import ManifestSet
from export.data.readers.portraits import Eg1800, PlainFolder, SupervisePortrait
from export.errors import ExportError

__all__ = ["LAYOUTS", "Entry", "LazyPeople", "Reader", "detect"]

LAYOUTS: tuple[type[Reader], ...] = (ManifestSet, Eg1800, SupervisePortrait, CelebAMaskHq, EasyPortrait, PlainFolder)
_SHOWN = 6


def detect(folder: Path) -> Reader:
    """The reader for a folder, by what lies in it.

    Raises:
        ExportError: there is no such folder, or no layout fits; the message lists what was found and what is known.
    """
    if not folder.is_dir():
        raise ExportError(f"{folder}: no such folder; give one with --data")
    for layout in LAYOUTS:
        if layout.matches(folder):
            return layout(folder)
    names = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir())
    found = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "") if names else "nothing"
    known = "; ".join(layout.layout for layout in LAYOUTS)
    raise ExportError(f"{folder}: no known set (found {found}). Known layouts: {known}")


class LazyPeople(Sequence[Labelled]):
    """The people of several sets, each read and shrunk when it is asked for.

    Raises:
        ExportError: as `Reader.chosen`, and on reading as `Reader.person`.
    """

    def __init__(self, readers: Sequence[Reader], split: str, licence: str = "any") -> None:
        self._chosen = [(reader, entry) for reader in readers for entry in reader.chosen(split, licence)]

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: Any) -> Any:
        reader, entry = self._chosen[index]
        return shrunk(reader.person(entry))
