"""Sets with a `manifest.csv`: its rows, which of them count, and their pictures and labels.

A data folder holds such sets as `person/ccp`, `face/real`, `backgrounds`, ... The columns are
`file,label,identity,split,width,height,notes`; paths are relative to the manifest. A label is a
mask or a soft alpha of the people, in sets below a folder `face` a plane of classes
(EasyPortrait's, version 1), and empty if no one is in the picture.
"""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.data.files import evenly, read_image, read_plane, text_of
from export.data.image import Image, u8
from export.data.items import LONGEST_PX, Labelled, LabelledFace, shrunk
from export.data.notes import Notes
from export.data.rights import allowed, rights_of
from export.errors import ExportError
from export.models import V1_CLASSES

COLUMNS = ("file", "label", "identity", "split", "width", "height", "notes")
IGNORE = 128
"""The mask value of hard-labelled sets that neither loss nor score may count."""
_NEEDED = ("file", "label", "split", "notes")
_LEAST_PERSON = 16
"""A mask whose largest value is smaller holds numbers of classes, not a person."""
_DEVELOPED_ON = "person/webcam_people"
"""The set of which an eighth of the people in the train split is kept aside."""


@dataclass(frozen=True, slots=True)
class Row:
    """One picture of a set. folder: of the manifest; set: what cards and rights call the set."""

    folder: Path
    set: str
    file: str
    label: str
    identity: str
    split: str
    notes: Notes

    @property
    def image_path(self) -> Path:
        """The picture."""
        return self.folder / self.file

    @property
    def label_path(self) -> Path | None:
        """The label; None if no one is in the picture."""
        return self.folder / self.label if self.label else None

    @property
    def alpha_path(self) -> Path | None:
        """The soft alpha that the notes name; None without any."""
        return self.folder / self.notes.alpha if self.notes.alpha else None

    @property
    def holds_classes(self) -> bool:
        """Whether the label holds the classes of a face."""
        return self.folder.resolve().parent.name == "face"

    @property
    def rights(self) -> str:
        """Their class, see `export.data.rights`."""
        return rights_of(self.set, self.notes)

    @property
    def is_kept_aside(self) -> bool:
        """Whether it shows one of the people of the train split that are kept to develop on."""
        digest = hashlib.sha256(self.identity.encode()).digest()
        return self.set == _DEVELOPED_ON and digest[0] % 8 == 0


def set_name(folder: Path) -> str:
    """What cards and rights call a set: person/ccp, backgrounds, ..."""
    parts = folder.resolve().parts
    return parts[-1] if parts[-1].startswith("backgrounds") else "/".join(parts[-2:])


def read_manifest(folder: Path) -> list[Row]:
    """The rows of a set's manifest.

    Raises:
        ExportError: there is no manifest, it cannot be read, or it lacks a column.
    """
    path = folder / "manifest.csv"
    if not path.is_file():
        raise ExportError(f"{path}: no such file; give the data folder with --data")
    try:
        rows = list(csv.DictReader(io.StringIO(text_of(path), newline=""), restval=""))
    except csv.Error as error:
        raise ExportError(f"{path}: not a table ({error}); save it as CSV with commas") from error
    missing = [name for name in _NEEDED if rows and name not in rows[0]]
    if missing:
        raise ExportError(f"{path}: the columns {', '.join(missing)} are missing")
    name = set_name(folder)
    return [
        Row(
            folder,
            name,
            row["file"],
            row["label"],
            row.get("identity", ""),
            row["split"],
            Notes.of(row["notes"]),
        )
        for row in rows
    ]


def rows_of(folder: Path, split: str, licence: str = "any") -> list[Row]:
    """The rows of one split that the licence filter leaves (`export.data.rights`).

    A person (`identity`, if the manifest has it) who is in the test split is in no other one.
    split: "train", "val", "test", or "development": people of the train split that no one trains
        on.

    Raises:
        ExportError: no manifest in the folder, or the licence is unknown.
    """
    every = read_manifest(folder)
    tested = {row.identity for row in every if row.split == "test"} - {""}
    if split == "test":
        mine = [row for row in every if row.split == "test"]
    else:
        part = "train" if split == "development" else split
        mine = [row for row in every if row.split == part and row.identity not in tested]
    if split in ("train", "development"):
        mine = [row for row in mine if row.is_kept_aside == (split == "development")]
    return [row for row in mine if allowed(row.rights, licence)]


def read_set(
    folder: Path,
    split: str,
    longest_px: int = LONGEST_PX,
    licence: str = "any",
    most: int | None = None,
) -> list[Labelled]:
    """The people of one set of a data folder, pictures and labels shrunk to `longest_px`.

    most: how many of them, evenly chosen; None: all.

    Raises:
        ExportError: no manifest in the folder, or a picture that it names is missing.
    """
    rows = rows_of(folder, split, licence)
    chosen = rows if most is None else evenly(rows, most)
    return [shrunk(read_person(row), longest_px) for row in chosen]


def read_person(row: Row) -> Labelled:
    """A picture with the alpha of its people; the picture takes the size of its label.

    Of a face, the alpha that the notes name, else all classes but background.

    Raises:
        ExportError: a file is missing, cannot be read, or is no such label.
    """
    path = person_label(row)
    if path is None:
        image = read_image(row.image_path)
        nobody = np.zeros(image.shape[:2], np.uint8)
        return Labelled(row.file, image, nobody, np.ones_like(nobody))
    if path == row.label_path and row.holds_classes:
        alpha = np.where(_classes(row) > 0, 255, 0).astype(np.uint8)
        valid = np.ones_like(alpha)
    else:
        alpha, valid = _read_matte(path, row.notes.ignores)
    return Labelled(row.file, read_image(row.image_path, alpha.shape), alpha, valid)


def person_label(row: Row) -> Path | None:
    """The file from which the alpha of the people is read; None if no one is in the picture."""
    return (row.alpha_path if row.holds_classes else None) or row.label_path


def read_face(row: Row) -> LabelledFace:
    """A picture with the classes of its face; the picture takes the size of its label.

    Raises:
        ExportError: a file is missing or cannot be read, or the label has other classes.
    """
    if not row.holds_classes or row.label_path is None:
        raise ExportError(f"{row.folder}: {row.file} has no label of a face")
    label = _classes(row)
    image = read_image(row.image_path, label.shape)
    return LabelledFace(row.file, image, label, np.ones_like(label), row.notes)


def _classes(row: Row) -> Image:
    path = row.folder / row.label
    plane = read_plane(path)
    if int(plane.max()) >= len(V1_CLASSES):
        raise ExportError(f"{path}: class {plane.max()}; labels have the classes 0 to 8")
    return plane


def _read_matte(path: Path, ignores: bool) -> tuple[Image, Image]:
    """`alpha` and `valid` of `Labelled`."""
    plane = read_plane(path)
    if 0 < int(plane.max()) < _LEAST_PERSON:
        raise ExportError(
            f"{path}: holds 0 to {plane.max()}; a mask of a person has 0 and 255, or a soft alpha"
        )
    ignored = (plane == IGNORE) if ignores else np.zeros(plane.shape, bool)
    return u8(np.where(ignored, 0, plane)), u8(~ignored)
