"""How well an engine separates people, or names the parts of a face, on test pictures that training never saw.

The answer is enlarged bilinearly to the picture's own resolution before it is compared; pixels that the label ignores
are left out. A set's score is the mean over its pictures, and that of all their pixels together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from export.data.files import evenly
from export.data.image import Image, u8
from export.data.items import Labelled, LabelledFace
from export.data.manifest import read_manifest
from export.data.notes import Notes
from export.data.readers import Reader, detect
from export.errors import ExportError
from export.evaluation.conditions import framing, light, skin, webcam
from export.evaluation.engines import Matting, Parsing
from export.evaluation.faces import face_crop, test_faces
from export.evaluation.measures import (
    PERSON,
    Counts,
    Score,
    boundary_matches,
    class_overlaps,
    f_score,
    overlap,
    ratio,
    summarise,
)
from export.evaluation.pictures import Pictures
from export.evaluation.scenes import composited, test_rooms, test_set
from export.evaluation.video import evaluate_video
from export.models import V1_CLASSES

_PARTS = {
    "background": (0,),
    "person": (1,),
    "skin": (2,),
    "brows": (3, 4),
    "eyes": (5, 6),
    "lips": (7,),
    "teeth": (8,),
}
"""What is scored of a face: classes of EasyPortrait v1, those on both sides together."""
_NEWER = ("person/webcam_people", "backgrounds_negatives")
"""Sets that older data folders lack."""
_CHECKED = "teeth_checked"


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one picture gave: counts by measure, and the conditions that it meets."""

    counts: dict[str, Counts]
    conditions: tuple[str, ...] = ()


def evaluate(
    engine: Matting | Parsing,
    data: Path,
    most: int | None = None,
    pictures: Pictures | None = None,
    whole: bool = False,
) -> list[Score]:
    """Score an engine on the test splits of a data folder, or on that of one set in a layout that can be read.

    most: of each set, evenly chosen; clips are left out then. pictures: is shown every picture. whole: faces are seen
    in the whole picture, not in a square around them.

    Raises:
        ExportError: a set is missing, damaged, has no test pictures, or is not known.
    """
    if not any((data / name).is_dir() for name in ("person", "face")):
        return _one_set(engine, detect(data), most, pictures, whole)
    if isinstance(engine, Parsing):
        return evaluate_faces(engine, data, most, pictures, whole)
    clips = evaluate_video(engine, data) if most is None else []
    return [*evaluate_people(engine, data, most, pictures), *clips]


def _one_set(
    engine: Matting | Parsing,
    reader: Reader,
    most: int | None,
    pictures: Pictures | None,
    whole: bool,
) -> list[Score]:
    name = reader.folder.resolve().name
    task = "face" if isinstance(engine, Parsing) else "person"
    entries = reader.chosen("test", task=task)
    entries = entries if most is None else evenly(entries, most)
    if not isinstance(engine, Parsing):
        return _people_or_nobody(name, engine, map(reader.person, entries), {}, pictures)
    faces = (_shown(reader.face(entry), whole) for entry in entries)
    seen = [_face(name, engine, face, False, pictures) for face in faces if face]
    return _scores(name, seen)


def evaluate_people(
    engine: Matting, data: Path, most: int | None = None, pictures: Pictures | None = None
) -> list[Score]:
    """IoU, mIoU and boundary F-score of the person, by condition too; without people, the share called person.

    Raises:
        ExportError: a set is missing, damaged or has no test pictures.
    """
    sets = ["person/ccp", "person/wild"]
    sets += [name for name in _NEWER if (data / name).is_dir()]
    ccp, *others = (
        _people_or_nobody(x, engine, test_set(data, x, most), _notes(data / x), pictures)
        for x in sets
    )
    scenes = composited(data) if most is None else evenly(list(composited(data)), most)
    cutouts = _people_or_nobody("person/cutouts composited", engine, scenes, {}, pictures)
    empty = test_rooms(data) if most is None else evenly(test_rooms(data), most)
    rooms = _people_or_nobody("rooms", engine, empty, {}, pictures)
    return [*ccp, *cutouts, *chain.from_iterable(others), *rooms]


def _notes(folder: Path) -> dict[str, Notes]:
    return {row.file: row.notes for row in read_manifest(folder)}


def _people_or_nobody(
    name: str,
    engine: Matting,
    items: Iterable[Labelled],
    notes: dict[str, Notes],
    pictures: Pictures | None = None,
) -> list[Score]:
    """Scores of the pictures with people, then of those without."""
    people, nobody = [], []
    for item in items:
        alpha = engine.alpha(item.image)
        if item.alpha.any():
            seen = _person(alpha, item, notes.get(item.name, Notes()))
            people.append(seen)
        else:
            seen = _empty(alpha, item)
            nobody.append(seen)
        if pictures is not None:
            found, wanted = (u8(plane >= PERSON) for plane in (alpha, item.alpha))
            where = (name, item.name)
            pictures.saw(where, item.image, found, wanted, item.valid, _values(seen))
    if not nobody:
        return _scores(name, people)
    without = _scores(f"{name} without people", nobody)
    return [*_scores(name, people), *without] if people else without


def _person(alpha: Image, item: Labelled, notes: Notes) -> _Seen:
    found, wanted, counts = alpha >= PERSON, item.alpha >= PERSON, item.valid > 0
    person = overlap(found, wanted, counts)
    measured = {
        "iou": person,
        "miou": np.stack([person, overlap(~found, ~wanted, counts)]),
        "boundary_f": boundary_matches(found, wanted, counts),
    }
    by_eye = webcam(item.name, item.alpha)
    return _Seen(measured, by_eye or (framing(notes), light(item.image)))


def _empty(alpha: Image, item: Labelled) -> _Seen:
    counts = item.valid > 0
    return _Seen({"person_share": overlap(alpha >= PERSON, counts, counts)}, (light(item.image),))


def evaluate_faces(
    engine: Parsing,
    data: Path,
    most: int | None = None,
    pictures: Pictures | None = None,
    whole: bool = False,
) -> list[Score]:
    """MIoU over the engine's classes and IoU of the parts of a face, on square crops around test faces.

    Teeth are scored, alone and in the mean over the classes, on the pictures of face/real whose teeth were checked, and
    on all of face/avatars.

    Raises:
        ExportError: a set is missing, damaged or has no test pictures, or the engine has classes that no set has.
    """
    scores = []
    for name in ("face/real", "face/avatars"):
        faces = (_shown(face, whole) for face in test_faces(data, name, most))
        checked = name == "face/real"
        seen = [_face(name, engine, face, checked, pictures) for face in faces if face]
        scores += _scores(name, seen)
    return scores


def _shown(face: LabelledFace, whole: bool) -> LabelledFace | None:
    return face if whole else face_crop(face)


def _face(
    name: str,
    engine: Parsing,
    face: LabelledFace,
    only_checked: bool,
    pictures: Pictures | None,
) -> _Seen:
    """An engine that lacks a class calls it background; so does the label then, and the class is not scored."""
    unknown = [name for name in engine.classes if name not in V1_CLASSES]
    if unknown:
        raise ExportError(
            f"classes {', '.join(unknown)}: no set has them; known are {', '.join(V1_CLASSES)}"
        )
    known = [V1_CLASSES.index(name) for name in engine.classes]
    found = np.array(known, np.uint8)[engine.labels(face.image)]
    wanted = np.where(np.isin(face.label, known), face.label, 0).astype(np.uint8)
    parts = {name: group for name, group in _PARTS.items() if set(group) <= set(known)}
    unchecked = only_checked and _CHECKED not in face.notes
    if unchecked:
        parts.pop("teeth", None)
    each = class_overlaps(found, wanted, face.valid > 0, list(parts.values()))
    all_classes = class_overlaps(found, wanted, face.valid > 0, [(x,) for x in known])
    if unchecked:
        all_classes[np.isin(known, _PARTS["teeth"])] = 0  # as if neither side showed any
    measured = {"miou": all_classes} | {
        f"iou {part}": x for part, x in zip(parts, each, strict=True)
    }
    seen = _Seen(measured, (skin(face.image, face.label), light(face.image)))
    if pictures is not None:
        pictures.saw((name, face.name), face.image, found, wanted, face.valid, _values(seen))
    return seen


def _values(seen: _Seen) -> dict[str, float]:
    """The measures of one picture; a part of a face that neither side sees has none."""
    counted = {x: y for x, y in seen.counts.items() if " " not in x or y[1]}
    return {x: _VALUES[x.split()[0]](y) for x, y in counted.items()}


def _scores(name: str, seen: Sequence[_Seen]) -> list[Score]:
    if not seen:
        raise ExportError(f"{name}: no test pictures")
    conditions = sorted({x for one in seen for x in one.conditions if x})
    groups = {"": seen} | {x: [one for one in seen if x in one.conditions] for x in conditions}
    return [
        score for condition, group in groups.items() for score in _group(name, group, condition)
    ]


def _group(name: str, seen: Sequence[_Seen], condition: str) -> Iterator[Score]:
    for metric in dict.fromkeys(x for one in seen for x in one.counts):
        value = _VALUES[metric.split()[0]]
        counts = [one.counts[metric] for one in seen if metric in one.counts]
        if " " in metric:  # a part of a face that neither side sees says nothing
            counts = [x for x in counts if x[1]]
        if counts:
            pooled = value(np.sum(counts, axis=0))
            yield summarise(name, metric, [value(x) for x in counts], pooled, condition)


def _mean_ratio(counts: Counts) -> float:
    """Mean IoU of the classes that either side sees. counts: int64 [C, 2]."""
    return float(np.mean([ratio(x) for x in counts if x[1]])) if counts[:, 1].any() else 1.0


_VALUES: dict[str, Callable[[Counts], float]] = {
    "iou": ratio,
    "miou": _mean_ratio,
    "boundary_f": f_score,
    "person_share": ratio,
}
