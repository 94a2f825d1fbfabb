"""Which pictures a training run draws from, for its record and the card of the engine that comes of it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

from export.data.people import rows_of, set_name
from export.data.readers import detect
from export.data.rights import rights_of
from export.data.sources import SOURCES


def is_data_folder(folder: Path) -> bool:
    """Whether a folder holds the sets person/ccp, person/cutouts, ...; else it is one set."""
    return (folder / "person").is_dir()


def used_sets(folders: Sequence[Path], task: str, licence: str) -> list[dict[str, Any]]:
    """Of each set: name, layout, how many `pictures` of the train split, their `rights` by class, and `sha256`.

    task: of the network, "person" or "face". The hash is that of the names, one a line.

    Raises:
        ExportError: a set is missing or cannot be read.
    """
    found = []
    for folder in folders:
        if is_data_folder(folder):
            for source in (x for x in SOURCES if task in x.tasks):
                rows = rows_of(folder / source.folder, "train", licence)
                rows = [row for row in rows if source.trains(task, row["notes"])]
                chosen = [(row["file"], rights_of(source.folder, row["notes"])) for row in rows]
                found.append(_described(source.folder, "manifest.csv", chosen))
        else:
            reader = detect(folder)
            entries = reader.chosen("train", licence, task)
            chosen = [(x.name, x.rights) for x in entries]
            found.append(
                _described(
                    _name(folder, {one["name"] for one in found}), type(reader).__name__, chosen
                )
            )
    return [one for one in found if one["pictures"]]


def _name(folder: Path, taken: Container[str]) -> str:
    """What cards call a set given alone: as in a data folder where it is one of those, else as its folder."""
    known = set_name(folder)
    name = known if known in {source.folder for source in SOURCES} else folder.resolve().name
    others = (f"{name} ({number})" for number in count(2))
    return next(x for x in chain([name], others) if x not in taken)


def _described(name: str, layout: str, chosen: Iterable[tuple[str, str]]) -> dict[str, Any]:
    names, rights = zip(*chosen, strict=True) if (chosen := list(chosen)) else ((), ())
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()
    return {
        "name": name,
        "layout": layout,
        "pictures": len(names),
        "rights": dict(Counter(rights)),
        "sha256": digest,
    }
