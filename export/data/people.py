"""The people and backgrounds of a data folder, and the random pictures that training sees of
them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np

from export.data.augment import light, photometric
from export.data.geometry import affine, extent, warp
from export.data.items import Labelled, Sample
from export.data.manifest import read_set
from export.errors import ExportError

_LEAST_PX = 96
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Library:
    """Everything training draws from, by the way it is used."""

    photos: Sequence[Labelled]
    wild: Sequence[Labelled]
    cutouts: Sequence[Labelled]
    avatars: Sequence[Labelled]
    rooms: Sequence[Labelled]
    empty: Sequence[Labelled]
    """Those of `wild` without anybody, which are among `rooms` too, and of the others what lies
    beside the people: what networks like to take for people."""
    webcam: Sequence[Labelled] = ()
    """Frames of people at their own webcam."""
    faces: Sequence[Labelled] = ()
    """People close to the camera."""
    things: Sequence[Labelled] = ()
    """Garments and rooms that networks take for people."""

    @classmethod
    def read(
        cls,
        data: Path | None,
        split: str,
        licence: str = "any",
        more: Sequence[Labelled] = (),
        soften: Callable[[str, Labelled], Labelled] | None = None,
    ) -> Library:
        """Read every set of a data folder, where there is one; `more` are photographs from
        elsewhere.

        soften: gives a picture of a set (person/wild, ...) with hard labels a softer one.

        Raises:
            ExportError: a set is missing or damaged, or without anything in this split though the
                filter took nothing; or there is nothing at all.
        """

        def sets(*names: str) -> list[Labelled]:
            return [
                x for name in names if data for x in read_set(data / name, split, licence=licence)
            ]

        def soft(*names: str) -> list[Labelled]:
            named = [(name, x) for name in names for x in sets(name)]
            return [soften(name, x) if soften and x.alpha.any() else x for name, x in named]

        def newer(*names: str) -> list[str]:
            return [name for name in names if data and (data / name).is_dir()]

        wild = soft("person/wild")
        nobody = [x for x in wild if x.is_room]
        library = cls(
            photos=Joined(soft("person/ccp"), more),
            wild=wild,
            cutouts=sets("person/cutouts"),
            avatars=sets("face/avatars"),
            rooms=[*sets("backgrounds", "backgrounds_rooms"), *nobody],
            empty=[*nobody, *(part for part in map(beside_people, wild) if part)],
            webcam=soft(
                *newer("person/webcam_people", "person/webcam_people2", "person/clips_people")
            ),
            faces=soft(*newer("face/celebamask")),
            things=sets(*newer("backgrounds_negatives")),
        )
        asked = [field.name for field in fields(library) if field.name not in _OPTIONAL]
        missing = [name for name in asked if not getattr(library, name)]
        if (missing and licence == "any" and data) or len(missing) == len(asked):
            raise ExportError(
                f"{data or '--data'}: no {missing[0]} in the {split} split under licence {licence}"
            )
        return library

    def pool(self, kind: str) -> Sequence[Labelled]:
        """What a sample of this kind starts from; empty where it cannot be made."""
        people = {
            "cutout": self.cutouts,
            "avatar": self.avatars,
            "moved": self.photos,
            "called": self.webcam,
        }
        alone = {"photo": self.photos, "wild": self.wild, "room": self.rooms, "empty": self.empty}
        alone |= {"webcam": self.webcam, "face": self.faces, "thing": self.things}
        return alone[kind] if kind in alone else people[kind] if self.rooms else ()


def beside_people(item: Labelled) -> Labelled | None:
    """The largest part of a picture, above, below, left or right of everybody in it, whose sides
    are at least 96 px.

    None without people, or if no part is as large. Pixels to be ignored count as people.
    """
    someone = np.asarray((item.alpha > 0) | (item.valid == 0), np.uint8) * 255
    if not someone.any():
        return None
    height, width = someone.shape
    top, bottom, left, right = extent(someone)
    parts = [
        (0, top, 0, width),
        (bottom, height, 0, width),
        (0, height, 0, left),
        (0, height, right, width),
    ]
    large = [x for x in parts if min(x[1] - x[0], x[3] - x[2]) >= _LEAST_PX]
    if not large:
        return None
    y0, y1, x0, x1 = max(large, key=lambda x: (x[1] - x[0]) * (x[3] - x[2]))
    return Labelled(
        item.name, *(plane[y0:y1, x0:x1] for plane in (item.image, item.alpha, item.valid))
    )


class Joined(Sequence[_Item]):
    """Two sequences, one after the other; the second may read its pictures when they are asked
    for.
    """

    def __init__(self, first: Sequence[_Item], second: Sequence[_Item]) -> None:
        self._first, self._second = first, second

    def __len__(self) -> int:
        return len(self._first) + len(self._second)

    def __getitem__(self, index: Any) -> Any:
        count = len(self._first)
        return self._first[index] if index < count else self._second[index - count]


_OPTIONAL = ("empty", "webcam", "faces", "things")
_PASTED = ("cutout", "avatar", "moved", "called")
_SHARES = {
    "photo": 0.13,
    "wild": 0.2,
    "cutout": 0.15,
    "avatar": 0.03,
    "moved": 0.05,
    "room": 0.03,
    "empty": 0.05,
}
_SHARES |= {"webcam": 0.24, "called": 0.06, "face": 0.03, "thing": 0.05}
_FINISH_SHARES = _SHARES | {
    "webcam": 0.27,
    "photo": 0.16,
    "cutout": 0.12,
    "avatar": 0.02,
    "wild": 0.24,
    "empty": 0.12,
    "called": 0.08,
    "thing": 0.08,
}
_FINISH_OFTEN = 0.5
"""The last phase: more photographs, and half as often another light, blur or compression."""
_ASPECTS = (16 / 9, 4 / 3, 1.0, 3 / 4)
_ASPECT_SHARES = (0.55, 0.25, 0.12, 0.08)


def draws(finish: bool) -> dict[str, Any]:
    """How samples are drawn, for the record of a run: `kinds` with their shares, and how often
    steps of light apply.

    Kinds missing from the data are skipped, and their share is redistributed.
    """
    return {"kinds": _shares(finish), "often": _FINISH_OFTEN if finish else 1.0}


def _shares(finish: bool) -> dict[str, float]:
    return _FINISH_SHARES if finish else _SHARES


def draw(
    library: Library, size: tuple[int, int], rng: np.random.Generator, finish: bool = False
) -> Sample:
    """Draw one training sample of `size` (height, width): a photo, a person pasted into a room, or
    an empty room.
    """
    possible = {kind: share for kind, share in _shares(finish).items() if len(library.pool(kind))}
    kind = choose(possible, rng)
    pasted = kind in _PASTED
    sample = window(_pick(library.rooms if pasted else library.pool(kind), rng), size, rng)
    if pasted:
        for _ in range(2 if rng.random() < 0.12 else 1):
            sample = _paste(_pick(library.pool(kind), rng), sample, rng)
    image = photometric(sample.image, rng, _FINISH_OFTEN if finish else 1.0)
    return Sample(image, sample.target, sample.valid, sample.image)


def choose(shares: Mapping[str, float], rng: np.random.Generator) -> str:
    """One of the names, as often as its share of all the shares."""
    weights = np.array(list(shares.values()))
    return str(rng.choice(list(shares), p=weights / weights.sum()))


def _pick(items: Sequence[Labelled], rng: np.random.Generator) -> Labelled:
    return items[int(rng.integers(len(items)))]


def window(item: Labelled, size: tuple[int, int], rng: np.random.Generator) -> Sample:
    """A window of the picture with the aspect ratio of some camera, stretched to `size`."""
    height, width = item.image.shape[:2]
    aspect = width / height if rng.random() < 0.4 else float(rng.choice(_ASPECTS, p=_ASPECT_SHARES))
    window_h = float(min(height, width / aspect) * np.exp(rng.uniform(-0.7, 0.12)))
    window_w = window_h * aspect
    slack_x, slack_y = max(0.0, width - window_w) / 2, max(0.0, height - window_h) / 2
    centre = (width / 2 + slack_x * rng.uniform(-1, 1), height / 2 + slack_y * rng.uniform(-1, 1))
    scale = (size[1] / window_w, size[0] / window_h)
    matrix = affine(centre, (size[1] / 2, size[0] / 2), scale, rng.normal(0, 5), rng.random() < 0.5)
    image, alpha, valid = (
        warp(x, matrix, size, cv2.BORDER_REFLECT_101) for x in (item.image, item.alpha, item.valid)
    )
    return Sample(image, alpha, valid, image)


def _paste(person: Labelled, into: Sample, rng: np.random.Generator) -> Sample:
    """Paste a person as a webcam shows one: usually cut by the lower edge, sometimes by another, or
    far away.
    """
    height, width = into.target.shape
    top, bottom, left, right = extent(person.alpha)
    frame = float(rng.choice(_ASPECTS, p=_ASPECT_SHARES))
    share = float(np.clip(np.exp(rng.normal(-0.35, 0.35)), 0.2, 1.6))  # of the frame's height
    scale_y = share * height / max(1, bottom - top)
    scale = (scale_y * (width / height) / frame * float(np.exp(rng.normal(0, 0.06))), scale_y)
    flip = bool(rng.random() < 0.5)
    anchor = ((left + right) / 2, float(bottom))
    target = (width * (0.5 + rng.normal(0, 0.2)), height * (1 + max(0.0, rng.normal(0.0, 0.15))))
    matrix = affine(anchor, target, scale, rng.normal(0, 5), flip)
    look = light(person.image, rng) if rng.random() < 0.6 else person.image
    colour = warp(look, matrix, (height, width), cv2.BORDER_REPLICATE)
    alpha = warp(person.alpha, matrix, (height, width), cv2.BORDER_CONSTANT)
    weight = cv2.cvtColor(alpha, cv2.COLOR_GRAY2RGB).astype(np.float32) / 255
    image = (colour * weight + into.image * (1 - weight)).astype(np.uint8)
    return Sample(image, np.maximum(alpha, into.target), into.valid, image)
