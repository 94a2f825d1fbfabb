"""EasyPortrait, version 1 and 2 (Kvanchiani et al., arXiv 2304.13509): faces with classes, split by
user.

Layout and class numbers as hukenovs/easyportrait describes them (README.md@13969b1,
segformer-fp.py@aa01d83): `images/<split>/ID.jpg` with `annotations/<split>/ID.png` in 9 classes;
or, as version 2 trains, `annotations_fp/` in 8 classes (nobody's "person") or `annotations_ps/` in
2. A table `meta.csv` or `meta.json` says whose picture it is.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from export.data.files import pictures_in, read_plane, text_of
from export.data.items import Labelled, LabelledFace
from export.data.readers.base import Entry, Reader, labelled, labelled_face, split_by, split_named
from export.data.rights import CLEAR
from export.errors import ExportError
from export.models import V1_CLASSES, V2_CLASSES

_FOLDERS = {"person": ("annotations", "annotations_ps"), "face": ("annotations", "annotations_fp")}
"""Where the labels for a task are, the best first."""
_FROM_V2 = np.array([V1_CLASSES.index(name) for name in V2_CLASSES], np.uint8)
_ID_COLUMNS = ("attachment_id", "image_id", "name")
_USER_COLUMNS = ("user_id", "user_hash")


class EasyPortrait(Reader):
    """Its licence is a variant of CC BY-SA 4.0, by the crowd that took the pictures: clear, with
    credit.
    """

    layout = (
        "EasyPortrait: images/, annotations/ (or annotations_fp/, annotations_ps/), meta.csv "
        "or meta.json"
    )
    task = "face"

    @classmethod
    def matches(cls, folder: Path) -> bool:
        return (folder / "images").is_dir() and any(
            (folder / x).is_dir() for names in _FOLDERS.values() for x in names
        )

    def entries(self) -> Iterator[Entry]:
        users = _users(self.folder)
        for image in pictures_in(self.folder / "images"):
            name = image.relative_to(self.folder / "images")
            user, split = users.get(image.stem, (image.stem, ""))
            known = split_named(name.parts[0]) or split or split_by(user)
            yield Entry(str(name), known, image, self.folder, user, CLEAR)

    def files(self, entry: Entry, task: str) -> Sequence[Path]:
        return entry.image, self._label(entry, task)

    def person(self, entry: Entry) -> Labelled:
        """Every class but background is person.

        Raises:
            ExportError: the labels are those of a face only.
        """
        return labelled(
            entry, np.where(read_plane(self._label(entry, "person")) > 0, 255, 0).astype(np.uint8)
        )

    def face(self, entry: Entry) -> LabelledFace:
        """Classes in version 1's numbers. With version 2's, person is background, and background
        does not count.

        Raises:
            ExportError: the labels are masks, or have other classes.
        """
        path, kind = self._label(entry, "face"), self._kind("face")
        plane = read_plane(path)
        classes = V2_CLASSES if kind == "annotations_fp" else V1_CLASSES
        if int(plane.max()) >= len(classes):
            raise ExportError(
                f"{path}: class {plane.max()}; {kind}/ has the classes 0 to {len(classes) - 1}"
            )
        if kind == "annotations":
            return labelled_face(entry, plane)
        return labelled_face(entry, _FROM_V2[plane], valid=(plane > 0).astype(np.uint8))

    def _label(self, entry: Entry, task: str) -> Path:
        return (self.folder / self._kind(task) / entry.name).with_suffix(".png")

    def _kind(self, task: str) -> str:
        kinds = _FOLDERS[task]
        kind = next((x for x in kinds if (self.folder / x).is_dir()), "")
        if not kind:
            raise ExportError(
                f"{self.folder}: no labels of a {task}; get {kinds[0]}/ or {kinds[1]}/"
            )
        return kind


def _users(folder: Path) -> dict[str, tuple[str, str]]:
    """User and split ("" where the table is silent) by the picture's id; empty without a table."""
    places = (folder, folder / "annotations", folder / "annotations" / "meta", folder / "meta")
    path = next(
        (
            x / f"meta{end}"
            for x in places
            for end in (".csv", ".json")
            if (x / f"meta{end}").is_file()
        ),
        None,
    )
    if path is None:
        return {}
    rows = _rows(path)
    name, user = (
        next((x for x in names if rows and x in rows[0]), "")
        for names in (_ID_COLUMNS, _USER_COLUMNS)
    )
    if not (name and user):
        wanted = f"{' or '.join(_ID_COLUMNS)}, and {' or '.join(_USER_COLUMNS)}"
        raise ExportError(f"{path}: no such columns: {wanted}; correct it or remove it")
    return {Path(str(row[name])).stem: (str(row[user]), _split(row)) for row in rows}


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        text = text_of(path)
        if path.suffix == ".json":
            return [dict(row) for row in json.loads(text)]
        head = text.split("\n", 1)[0]
        delimiter = max("\t,;", key=head.count)
        return list(csv.DictReader(text.splitlines(), delimiter=delimiter))
    except (ValueError, TypeError, csv.Error) as error:
        raise ExportError(f"{path}: not a table of pictures ({error})") from error


def _split(row: dict[str, Any]) -> str:
    marked = (
        name for name in row if split_named(str(name)) and str(row[name]).lower() in ("true", "1")
    )
    return split_named(str(row.get("split", ""))) or split_named(next(marked, ""))
