"""What is in a data folder, and what is wrong with it."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from export.data.files import evenly
from export.data.image import Image, u8
from export.data.readers import Entry, Reader, Unlabelled, detect
from export.data.sheet import painted, tile, write_sheet
from export.errors import ExportError

_SHOWN = 24


@dataclass(slots=True)
class Found:
    """What a set holds. counts: pictures by split; rights: by class. people: how many identities.

    tested: pictures outside the test split of people who are in it, which are never trained on.
    problems: one line each. tiles: of a sheet.
    """

    name: str
    layout: str
    counts: Counter[str] = field(default_factory=Counter)
    rights: Counter[str] = field(default_factory=Counter)
    people: int = 0
    tested: int = 0
    problems: list[str] = field(default_factory=list)
    tiles: list[Image] = field(default_factory=list)

    def line(self) -> str:
        """For people to read."""
        counts = ", ".join(
            f"{count} {split or 'without a split'}" for split, count in self.counts.items()
        )
        rights = ", ".join(f"{count} {kind}" for kind, count in self.rights.items())
        tested = (
            f"; {self.tested} of people who are tested, never trained on" if self.tested else ""
        )
        return (
            f"{self.name} ({self.layout}): {counts or 'no pictures'}; {self.people} identities; "
            f"rights: {rights or 'none'}{tested}; {len(self.problems)} problems"
        )


def check_folder(folder: Path) -> Iterator[Found]:
    """Read every picture and label of a data folder, set by set, or of one set.

    Raises:
        ExportError: there is no such folder, or no set in it that can be read.
    """
    folders = _sets(folder)
    for one in folders or [folder]:
        yield _check(detect(one), one.relative_to(folder).as_posix() if folders else folder.name)


def write_problem_sheet(path: Path, found: list[Found]) -> None:
    """Write a sheet with pictures of every set and their labels.

    Raises:
        ExportError: as `export.data.sheet.write_sheet`.
    """
    write_sheet(path, [picture for one in found for picture in one.tiles])


def _sets(folder: Path) -> list[Path]:
    """The sets with a manifest below a folder that is none itself."""
    if (folder / "manifest.csv").is_file():
        return []
    return sorted(
        path.parent for path in [*folder.glob("*/manifest.csv"), *folder.glob("*/*/manifest.csv")]
    )


def _check(reader: Reader, name: str) -> Found:
    found = Found(name, type(reader).__name__)
    try:
        entries = list(reader.entries())
    except ExportError as error:
        found.problems.append(str(error))
        return found
    found.counts = Counter(entry.split for entry in entries)
    found.rights = Counter(entry.rights for entry in entries)
    identities = defaultdict(set)
    for entry in entries:
        identities[entry.identity].add(entry.split)
    people = {x: splits for x, splits in identities.items() if x}
    found.people = len(people)
    mixed = {x for x, splits in people.items() if "test" in splits and len(splits) > 1}
    found.tested = sum(x.identity in mixed and x.split != "test" for x in entries)
    shown = {id(entry) for entry in evenly(entries, _SHOWN)}
    same: dict[str, Entry] = {}
    for entry in entries:
        problem = _problem(reader, entry, found, id(entry) in shown, same)
        if problem:
            found.problems.append(problem)
    return found


def _problem(
    reader: Reader, entry: Entry, found: Found, shown: bool, same: dict[str, Entry]
) -> str | None:
    try:
        digest = hashlib.sha256(entry.image.read_bytes()).hexdigest()
        twin = same.setdefault(digest, entry)
        if isinstance(reader, Unlabelled):
            reader.person(entry)
        else:
            image, classes = _read(reader, entry)
            if shown:
                found.tiles.append(
                    tile(f"{found.name} {entry.name}", [image, painted(image, classes)])
                )
    except ExportError as error:
        return str(error)
    except OSError as error:
        return f"{entry.image}: cannot be read ({error.strerror})"
    if twin is not entry and twin.split != entry.split:
        return f"{entry.image}: the same picture as {twin.name}, which is in the {twin.split} split"
    if twin is not entry:
        return f"{entry.image}: the same picture as {twin.name}"
    return None


def _read(reader: Reader, entry: Entry) -> tuple[Image, Image]:
    """A picture and its classes: those of a face if the set has them, else room and person."""
    try:
        face = reader.face(entry)
        return face.image, np.where(face.valid > 0, face.label, 0).astype(np.uint8)
    except ExportError:
        person = reader.person(entry)
        return person.image, u8((person.alpha > 127) & (person.valid > 0))
