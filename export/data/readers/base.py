"""What every reader of a set does: list its pictures, then read them one by one."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np

from export.data.augment import Image
from export.data.crops import LabelledFace
from export.data.person import Labelled
from export.data.rights import UNCLEAR, allowed
from export.errors import ExportError

SPLITS = ("train", "val", "test")
PICTURES = (".jpg", ".jpeg", ".png")
_TEST_PERCENT = 15


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture of a set, not read yet. identity: nobody of whom a picture is in test is trained on."""

    name: str
    split: str
    image: Path
    label: Path
    identity: str = ""
    rights: str = UNCLEAR
    notes: str = ""


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
            ExportError: a file is missing or no picture, the set has no masks of people, or split or licence is
                unknown.
        """
        return (self.person(entry) for entry in self.chosen(split, licence))

    def faces(self, split: str, licence: str = "any") -> Iterator[LabelledFace]:
        """The faces of a split, each read when it is asked for, at its own resolution.

        Raises:
            ExportError: as `people`, or the set has no labels of faces.
        """
        return (self.face(entry) for entry in self.chosen(split, licence))

    def chosen(self, split: str, licence: str = "any") -> list[Entry]:
        """The pictures of a split that the licence filter leaves, none of a person who is in the test split, too.

        Raises:
            ExportError: split or licence is unknown, or a list of the set cannot be read.
        """
        if split not in SPLITS:
            raise ExportError(f"split {split!r}: give one of {', '.join(SPLITS)}")
        every = list(self.entries())
        tested = {entry.identity for entry in every if entry.split == "test" and entry.identity}
        mine = [x for x in every if x.split == split and (split == "test" or x.identity not in tested)]
        return [entry for entry in mine if allowed(entry.rights, licence)]

    @abstractmethod
    def person(self, entry: Entry) -> Labelled:
        """Read one picture with its mask."""

    def face(self, entry: Entry) -> LabelledFace:
        """Read one picture with the classes of its face."""
        raise ExportError(f"{self.folder}: {entry.name} has a mask of a person, but no labels of a face")


def read_image(path: Path) -> Image:
    """uint8 [H, W, 3] RGB.

    Raises:
        ExportError: there is no picture.
    """
    return np.asarray(cv2.cvtColor(read_plane(path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), np.uint8)


def read_plane(path: Path, flags: int = cv2.IMREAD_GRAYSCALE) -> Image:
    """uint8 [H, W], values as in the file.

    Raises:
        ExportError: there is no picture.
    """
    picture = cv2.imread(str(path), flags)
    if picture is None:
        raise ExportError(f"{path}: missing or not a picture; the set names it")
    return np.asarray(picture, np.uint8)


def labelled(entry: Entry, alpha: Image, valid: Image | None = None) -> Labelled:
    """A picture with its mask; the picture takes the size of the mask."""
    image = _sized(read_image(entry.image), alpha)
    return Labelled(entry.name, image, alpha, np.ones_like(alpha) if valid is None else valid)


def labelled_face(entry: Entry, label: Image, valid: Image | None = None) -> LabelledFace:
    """A picture with its classes; the picture takes the size of the label."""
    image = _sized(read_image(entry.image), label)
    return LabelledFace(entry.name, image, label, np.ones_like(label) if valid is None else valid, entry.notes)


def _sized(image: Image, like: Image) -> Image:
    if image.shape[:2] == like.shape:
        return image
    return np.asarray(cv2.resize(image, like.shape[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def split_by(identity: str) -> str:
    """A split for sets that have none: by the hash of the identity, 15 of 100 to test, for ever the same."""
    digest = hashlib.sha256(identity.encode()).digest()
    return "test" if int.from_bytes(digest[:4], "big") % 100 < _TEST_PERCENT else "train"


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder and of those in it, by name."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES)


def lines_of(path: Path) -> list[str]:
    """The lines of a list that are not empty.

    Raises:
        ExportError: it cannot be read.
    """
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise ExportError(f"{path}: cannot be read ({error.strerror})") from error
