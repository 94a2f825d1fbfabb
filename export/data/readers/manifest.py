"""One set of a data folder, given alone: see `export.data.manifest`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from export.data.items import Labelled, LabelledFace
from export.data.manifest import Row, person_label, read_face, read_manifest, read_person
from export.data.readers.base import Entry, Reader


class ManifestSet(Reader):
    """A folder with a `manifest.csv`."""

    layout = "one set: manifest.csv with file,label,identity,split,width,height,notes"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._rows: dict[str, Row] = {}

    @classmethod
    def matches(cls, folder: Path) -> bool:
        return (folder / "manifest.csv").is_file()

    def entries(self) -> Iterator[Entry]:
        rows = read_manifest(self.folder)
        self._rows = {row.file: row for row in rows}
        for row in rows:
            label = row.label_path or self.folder
            yield Entry(
                row.file, row.split, row.image_path, label, row.identity, row.rights, row.notes
            )

    def files(self, entry: Entry, task: str) -> Sequence[Path]:
        row = self._rows[entry.name]
        label = person_label(row) if task == "person" else row.label_path
        return (entry.image,) if label is None else (entry.image, label)

    def person(self, entry: Entry) -> Labelled:
        return read_person(self._rows[entry.name])

    def face(self, entry: Entry) -> LabelledFace:
        row = self._rows[entry.name]
        return read_face(row) if row.holds_classes else super().face(entry)
