"""Labelled pictures as they are, one after the other, for recipes that change them in their own
way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from export.data.image import Image, u8
from export.data.items import Labelled, LabelledFace
from export.data.manifest import Row, read_face, read_person, rows_of
from export.data.provenance import is_data_folder
from export.data.readers import Entry, Reader, Unlabelled, detect
from export.data.readers.celeba import CelebAMaskHq
from export.errors import ExportError

Planes = tuple[Image, Image, Image]
"""image uint8 [H, W, 3] RGB; target uint8 [H, W], 255 person, or classes; valid uint8 [H, W], 0 or
1.
"""

PEOPLE = (
    "person/ccp",
    "person/wild",
    "person/webcam_people",
    "person/webcam_people2",
    "person/clips_people",
)
FACES = ("face/real", "face/celebamask")
_PERSON = 128
_FIRST_OF_FACE = 2


class Whole(Sequence[Planes]):
    """The pictures of one split, each read when it is asked for.

    what: "person", hard masks of people; "face", classes of EasyPortrait version 1; "skin", of a
    face everything but glasses, as a mask. folders: a data folder, or sets in other layouts.

    Raises:
        ExportError: a set cannot be read or has no such labels, or nothing is left; and on reading,
            as the readers.
    """

    def __init__(
        self, folders: Sequence[Path], split: str, what: str, licence: str = "any"
    ) -> None:
        self._read: list[Callable[[], Planes]] = []
        for folder in folders:
            if is_data_folder(folder):
                names = PEOPLE if what == "person" else FACES
                rows = [
                    row
                    for name in names
                    if (folder / name).is_dir()
                    for row in rows_of(folder / name, split, licence)
                ]
                self._read += [partial(_of_row, row, what) for row in rows]
                continue
            reader = detect(folder)
            if isinstance(reader, Unlabelled):
                raise ExportError(f"{folder}: pictures without labels; leave it out of a recipe")
            entries = reader.chosen(split, licence, "person" if what == "person" else "face")
            self._read += [partial(_of_entry, reader, entry, what) for entry in entries]
        if not self._read:
            asked = ", ".join(map(str, folders))
            raise ExportError(
                f"{asked}: no pictures with labels of a {'person' if what == 'person' else 'face'} "
                f"in the {split} split under licence {licence}"
            )

    def __len__(self) -> int:
        return len(self._read)

    def __getitem__(self, index: Any) -> Any:
        return self._read[index]()


def _of_row(row: Row, what: str) -> Planes:
    return _masked(read_person(row)) if what == "person" else _face(read_face(row), what)


def _of_entry(reader: Reader, entry: Entry, what: str) -> Planes:
    if what == "person":
        return _masked(reader.person(entry))
    if what == "skin" and isinstance(reader, CelebAMaskHq):
        return _masked(reader.skin(entry))
    return _face(reader.face(entry), what)


def _masked(item: Labelled) -> Planes:
    return item.image, u8(np.where(item.alpha >= _PERSON, 255, 0)), item.valid


def _face(item: LabelledFace, what: str) -> Planes:
    if what == "face":
        return item.image, item.label, item.valid
    return item.image, u8(np.where(item.label >= _FIRST_OF_FACE, 255, 0)), item.valid
