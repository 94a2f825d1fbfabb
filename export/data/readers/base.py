"""What every reader of a set does: list its pictures, then read them one by one."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from export.data.files import check, read_image
from export.data.image import Image
from export.data.items import Labelled, LabelledFace
from export.data.notes import Notes
from export.data.rights import UNCLEAR, allowed
from export.errors import ExportError

SPLITS = ("train", "val", "test")
_TEST_PERCENT = 15


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture of a set, not read yet. identity: nobody of whom a picture is in test is trained
    on.

    label: the set's folder where there is none, or where it depends on the task (`Reader.files`).
    """

    name: str
    split: str
    image: Path
    label: Path
    identity: str = ""
    rights: str = UNCLEAR
    notes: Notes = field(default_factory=Notes)


class Reader(ABC):
    """A set of labelled people or faces in one folder.

    layout: how the folder looks, for messages. task: "person", or "face", which holds people, too.
    """

    layout: ClassVar[str]
    task: ClassVar[str] = "person"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    @abstractmethod
    def matches(cls, folder: Path) -> bool:
        """Whether the folder looks like it."""

    @abstractmethod
    def entries(self) -> Iterable[Entry]:
        """Every picture of every split.

        Raises:
            ExportError: a list or a table of the set cannot be read.
        """

    def people(self, split: str, licence: str = "any") -> Iterator[Labelled]:
        """The people of a split, each read when it is asked for, at its own resolution.

        Raises:
            ExportError: a file is missing or no picture, the set has no masks of people, or split
                or licence is unknown.
        """
        return (self.person(entry) for entry in self.chosen(split, licence))

    def faces(self, split: str, licence: str = "any") -> Iterator[LabelledFace]:
        """The faces of a split, each read when it is asked for, at its own resolution.

        Raises:
            ExportError: as `people`, or the set has no labels of faces.
        """
        return (self.face(entry) for entry in self.chosen(split, licence, "face"))

    def chosen(self, split: str, licence: str = "any", task: str = "person") -> list[Entry]:
        """The pictures of a split that the licence filter leaves, none of a person who is in the
        test split, too.

        task: "person" or "face", what is to be read of them. The files are looked at, but not read.

        Raises:
            ExportError: split or licence is unknown, a list of the set cannot be read, it has no
                labels for the task, or a file is missing or empty.
        """
        if split not in SPLITS:
            raise ExportError(f"split {split!r}: give one of {', '.join(SPLITS)}")
        every = list(self.entries())
        tested = {entry.identity for entry in every if entry.split == "test" and entry.identity}
        mine = [
            x for x in every if x.split == split and (split == "test" or x.identity not in tested)
        ]
        chosen = [entry for entry in mine if allowed(entry.rights, licence)]
        for entry in chosen:
            for path in self.files(entry, task):
                check(path)
        return chosen

    def files(self, entry: Entry, task: str) -> Sequence[Path]:
        """The files that are read of an entry for this task, "person" or "face".

        Raises:
            ExportError: the set has no labels for it.
        """
        return entry.image, entry.label

    @abstractmethod
    def person(self, entry: Entry) -> Labelled:
        """Read one picture with its mask."""

    def face(self, entry: Entry) -> LabelledFace:
        """Read one picture with the classes of its face."""
        raise ExportError(
            f"{self.folder}: {entry.name} has a mask of a person, but no labels of a face"
        )


def labelled(entry: Entry, alpha: Image, valid: Image | None = None) -> Labelled:
    """A picture with its mask; the picture takes the size of the mask."""
    image = read_image(entry.image, alpha.shape)
    return Labelled(entry.name, image, alpha, np.ones_like(alpha) if valid is None else valid)


def labelled_face(entry: Entry, label: Image, valid: Image | None = None) -> LabelledFace:
    """A picture with its classes; the picture takes the size of the label."""
    image = read_image(entry.image, label.shape)
    return LabelledFace(
        entry.name, image, label, np.ones_like(label) if valid is None else valid, entry.notes
    )


def split_named(name: str) -> str:
    """The split that a folder or a table means by this name; "" where it means none."""
    known = {"train": "train", "val": "val", "valid": "val", "test": "test"}
    return known.get(name.lower(), "")


def split_by(identity: str) -> str:
    """A split for sets that have none: by the hash of the identity, 15 of 100 to test, for ever the
    same.
    """
    digest = hashlib.sha256(identity.encode()).digest()
    return "test" if int.from_bytes(digest[:4], "big") % 100 < _TEST_PERCENT else "train"
