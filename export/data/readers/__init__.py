"""Readers of the sets that people train on, each in the layout in which it is given out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from export.data.items import Labelled, LabelledFace, shrunk
from export.data.readers.base import Entry, Reader
from export.data.readers.celeba import CelebAMaskHq
from export.data.readers.easyportrait import EasyPortrait
from export.data.readers.manifest import ManifestSet
from export.data.readers.portraits import Eg1800, PlainFolder, SupervisePortrait, Unlabelled
from export.errors import ExportError

__all__ = ["LAYOUTS", "Entry", "LazyFaces", "LazyPeople", "Reader", "Unlabelled", "detect"]

LAYOUTS: tuple[type[Reader], ...] = (
    ManifestSet,
    Eg1800,
    SupervisePortrait,
    CelebAMaskHq,
    EasyPortrait,
    PlainFolder,
    Unlabelled,
)
"""The most particular first: the last ones fit nearly every folder."""
_SHOWN = 6
_Item = TypeVar("_Item", Labelled, LabelledFace)


def detect(folder: Path, glasses_out: bool = True) -> Reader:
    """The reader for a folder, by what lies in it. glasses_out: see `CelebAMaskHq`; others cannot
    tell glasses apart.

    Raises:
        ExportError: there is no such folder, or no layout fits; the message lists what was found
            and what is known.
    """
    if not folder.is_dir():
        raise ExportError(f"{folder}: no such folder; give one with --data")
    for layout in LAYOUTS:
        if layout.matches(folder):
            return CelebAMaskHq(folder, glasses_out) if layout is CelebAMaskHq else layout(folder)
    names = sorted(
        path.name + "/" * path.is_dir()
        for path in folder.iterdir()
        if not path.name.startswith(".")
    )
    found = (
        ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "") if names else "nothing"
    )
    known = "; ".join(layout.layout for layout in LAYOUTS)
    raise ExportError(f"{folder}: no known set (found {found}). Known layouts: {known}")


class _Lazy(Sequence[_Item], ABC):
    """What several sets hold for a task, each read when it is asked for."""

    task: ClassVar[str]

    def __init__(self, readers: Sequence[Reader], split: str, licence: str = "any") -> None:
        self._chosen = _chosen(readers, split, licence, self.task)

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: Any) -> Any:
        return self._read(*self._chosen[index])

    @abstractmethod
    def _read(self, reader: Reader, entry: Entry) -> _Item: ...


class LazyPeople(_Lazy[Labelled]):
    """The people of several sets, each read and shrunk when it is asked for.

    Raises:
        ExportError: as `Reader.chosen`, or a set has nothing to give; and on reading as
            `Reader.person`.
    """

    task = "person"

    def _read(self, reader: Reader, entry: Entry) -> Labelled:
        return shrunk(reader.person(entry))


class LazyFaces(_Lazy[LabelledFace]):
    """The faces of several sets, each read when it is asked for, at its own resolution.

    Raises:
        ExportError: as `LazyPeople`, and on reading as `Reader.face`.
    """

    task = "face"

    def _read(self, reader: Reader, entry: Entry) -> LabelledFace:
        return reader.face(entry)


def _chosen(
    readers: Sequence[Reader], split: str, licence: str, task: str
) -> list[tuple[Reader, Entry]]:
    chosen = []
    for reader in readers:
        entries = reader.chosen(split, licence, task)
        if not entries:
            counts = Counter(entry.split for entry in reader.entries())
            found = (
                ", ".join(f"{count} in {name}" for name, count in counts.items()) or "none at all"
            )
            raise ExportError(
                f"{reader.folder}: no pictures in the {split} split under licence {licence} "
                f"(found {found}); "
                "leave this set out"
            )
        chosen += [(reader, entry) for entry in entries]
    return chosen
