"""Sets with a `manifest.csv`, one folder each, as docs/training.md describes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from export.data.files import read_image, read_plane
from export.data.people import Labelled, read_manifest, read_matte, set_name
from export.data.readers.base import Entry, Reader, labelled, labelled_face
from export.data.rights import rights_of
from export.errors import ExportError
from export.evaluation.faces import LabelledFace
from export.models import V1_CLASSES


class ManifestSet(Reader):
    """Its label is a mask, an alpha, or, in sets below `face`, classes of EasyPortrait v1; without a label, nobody."""

    layout = "one set: manifest.csv with file,label,identity,split,width,height,notes"

    @classmethod
    def matches(cls, folder: Path) -> bool:
        return (folder / "manifest.csv").is_file()

    def entries(self) -> Iterator[Entry]:
        name = set_name(self.folder)
        for row in read_manifest(self.folder):
            rights = rights_of(name, row["notes"])
            image, label = self.folder / row["file"], self.folder / row["label"]
            yield Entry(
                row["file"],
                row["split"],
                image,
                label,
                row.get("identity", ""),
                rights,
                row["notes"],
            )

    def files(self, entry: Entry, task: str) -> Sequence[Path]:
        if entry.label == self.folder:
            return (entry.image,)
        return entry.image, self._alpha(
            entry
        ) if task == "person" and self._is_face() else entry.label

    def person(self, entry: Entry) -> Labelled:
        if entry.label == self.folder:
            return labelled(entry, np.zeros(read_image(entry.image).shape[:2], np.uint8))
        if self._is_face():
            return self._person_of_face(entry)
        return labelled(entry, *read_matte(entry.label, entry.notes))

    def _is_face(self) -> bool:
        return self.folder.resolve().parent.name == "face"

    def _person_of_face(self, entry: Entry) -> Labelled:
        path = self._alpha(entry)
        plane = read_plane(path)
        return labelled(
            entry, np.where(plane > 0, 255, 0).astype(np.uint8) if path == entry.label else plane
        )

    def _alpha(self, entry: Entry) -> Path:
        """The alpha beside the classes of a face, where there is one; else these, all but background."""
        alpha = next(
            (note.split()[1] for note in entry.notes.split("; ") if note.startswith("alpha ")), ""
        )
        return self.folder / alpha if alpha else entry.label

    def face(self, entry: Entry) -> LabelledFace:
        if not self._is_face():
            return super().face(entry)
        plane = read_plane(entry.label)
        if int(plane.max()) >= len(V1_CLASSES):
            raise ExportError(f"{entry.label}: class {plane.max()}; labels have the classes 0 to 8")
        return labelled_face(entry, plane)
