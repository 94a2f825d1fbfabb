"""Readers of labelled people and backgrounds, and the random pictures that training sees.

A data folder holds sets as `person/ccp`, `person/cutouts`, `person/wild`, `face/avatars` (pictures with masks)
and `backgrounds`, `backgrounds_rooms` (pictures without people), each with a `manifest.csv` of the columns
`file,label,identity,split,width,height,notes`.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from export.data.augment import light, photometric
from export.data.files import read_image, read_plane, text_of
from export.data.image import Image, u8
from export.data.rights import keep
from export.errors import ExportError

IGNORE = 128
"""The mask value of hard-labelled sets that neither loss nor score may count."""
_LEAST_PERSON = 16
"""A mask whose largest value is smaller holds numbers of classes, not somebody."""
_LONGEST_PX = 448
_LEAST_PX = 96
_COLUMNS = ("file", "label", "split", "notes")
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Labelled:
    """A picture with its label, all of one size.

    image: uint8 [H, W, 3] RGB. alpha: uint8 [H, W], 0 room .. 255 person, zeros where nobody is.
    valid: uint8 [H, W], 1 counts, 0 is to be ignored.
    """

    name: str
    image: Image
    alpha: Image
    valid: Image

    @property
    def is_room(self) -> bool:
        """Whether nobody is in it, for certain."""
        return not self.alpha.any() and bool(self.valid.all())


@dataclass(frozen=True, slots=True)
class Sample:
    """What the loss needs: image uint8 [H, W, 3] RGB, alpha uint8 [H, W], valid uint8 [H, W] (0 = ignore).

    `clean`: the image before light, blur and compression spoilt it.
    """

    image: Image
    alpha: Image
    valid: Image
    clean: Image


def read_set(
    folder: Path, split: str, longest_px: int = _LONGEST_PX, licence: str = "any"
) -> list[Labelled]:
    """Read one set of a data folder, pictures and labels shrunk to `longest_px`.

    Raises:
        ExportError: no manifest in the folder, or a picture that it names is missing.
    """
    return [_read_row(folder, row, longest_px) for row in rows_of(folder, split, licence)]


def rows_of(folder: Path, split: str, licence: str = "any") -> list[dict[str, str]]:
    """The rows of one split that the licence filter leaves (`export.data.rights`).

    Nobody (`identity`, where the manifest says it) of whom a picture is in the test split is in another one.

    Raises:
        ExportError: no manifest in the folder, or the licence is unknown.
    """
    every = read_manifest(folder)
    tested = {row.get("identity") for row in every if row["split"] == "test"} - {"", None}
    name = set_name(folder)
    part = "train" if split == "development" else split
    mine = [
        row
        for row in every
        if row["split"] == part and (part == "test" or row.get("identity") not in tested)
    ]
    if part == "train":
        mine = [
            row
            for row in mine
            if is_kept_aside(name, row.get("identity", "")) == (split == "development")
        ]
    return keep(name, mine, licence)


def is_kept_aside(name: str, identity: str) -> bool:
    """Whether nobody trains on this person of the train split: an eighth of person/webcam_people, to develop on."""
    return name == "person/webcam_people" and hashlib.sha256(identity.encode()).digest()[0] % 8 == 0


def set_name(folder: Path) -> str:
    """What cards and rights call a set: person/ccp, backgrounds, ..."""
    parts = folder.resolve().parts
    return parts[-1] if parts[-1].startswith("backgrounds") else "/".join(parts[-2:])


def read_manifest(folder: Path) -> list[dict[str, str]]:
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
    missing = [name for name in _COLUMNS if rows and name not in rows[0]]
    if missing:
        raise ExportError(f"{path}: the columns {', '.join(missing)} are missing")
    return rows


def read_matte(path: Path, notes: str) -> tuple[Image, Image]:
    """A mask or an alpha of a manifest's set: `alpha` and `valid` of `Labelled`. notes: those of its row.

    Raises:
        ExportError: it cannot be read, or holds numbers of classes instead.
    """
    plane = read_plane(path)
    if 0 < int(plane.max()) < _LEAST_PERSON:
        raise ExportError(
            f"{path}: holds 0 to {plane.max()}; a mask of somebody has 0 and 255, or a soft alpha"
        )
    ignored = (plane == IGNORE) if "; ignore" in notes else np.zeros(plane.shape, bool)
    return u8(np.where(ignored, 0, plane)), u8(~ignored)


def _read_row(folder: Path, row: dict[str, str], longest_px: int) -> Labelled:
    """The picture takes the size of its label."""
    match = re.search(r"alpha/\S+\.png", row["notes"])
    label = match.group() if match else row["label"]
    if label and set_name(folder) == "face/celebamask":  # numbers of classes; 0 is the background
        alpha = u8(read_plane(folder / label) > 0) * 255
        valid = np.ones(alpha.shape, np.uint8)
        image = read_image(folder / row["file"], alpha.shape)
    elif label:
        alpha, valid = read_matte(folder / label, row["notes"])
        image = read_image(folder / row["file"], alpha.shape)
    else:
        image = read_image(folder / row["file"])
        alpha, valid = np.zeros(image.shape[:2], np.uint8), np.ones(image.shape[:2], np.uint8)
    return shrunk(Labelled(row["file"], image, alpha, valid), longest_px)


def shrunk(item: Labelled, longest_px: int = _LONGEST_PX) -> Labelled:
    """The same, its longest side at most `longest_px`."""
    scale = longest_px / max(item.alpha.shape)
    if scale >= 1:
        return item
    size = (round(item.alpha.shape[1] * scale), round(item.alpha.shape[0] * scale))
    return Labelled(item.name, *(_shrink(x, size) for x in (item.image, item.alpha, item.valid)))


def _shrink(picture: Image, size: tuple[int, int]) -> Image:
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


@dataclass(frozen=True, slots=True)
class Library:
    """Everything training draws from, by the way it is used."""

    photos: Sequence[Labelled]
    wild: Sequence[Labelled]
    cutouts: Sequence[Labelled]
    avatars: Sequence[Labelled]
    rooms: Sequence[Labelled]
    empty: Sequence[Labelled]
    """Those of `wild` without anybody, which are among `rooms` too, and of the others what lies beside the people: what
    networks like to take for people."""
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
        """Read every set of a data folder, where there is one; `more` are photographs from elsewhere.

        soften: gives a picture of a set (person/wild, ...) with hard labels a softer one.

        Raises:
            ExportError: a set is missing or damaged, or without anything in this split though the filter took nothing;
                or there is nothing at all.
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
    """The largest part of a picture, above, below, left or right of everybody in it, whose sides are at least 96 px.

    None where nobody is, or no part is as large. Pixels to be ignored count as people.
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
    """Two sequences, one after the other; the second may read its pictures when they are asked for."""

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
_FINISH_SHARES = _SHARES | {"webcam": 0.28, "photo": 0.17, "cutout": 0.12, "avatar": 0.02}
_FINISH_OFTEN = 0.5
"""The last phase: more photographs, and half as often another light, blur or compression."""
_ASPECTS = (16 / 9, 4 / 3, 1.0, 3 / 4)
_ASPECT_SHARES = (0.55, 0.25, 0.12, 0.08)


def draws(finish: bool) -> dict[str, Any]:
    """How samples are drawn, for the record of a run: `kinds` with their shares, and how often steps of light apply.

    Kinds that the data do not hold are left out when samples are drawn, and the others have the more.
    """
    return {"kinds": _shares(finish), "often": _FINISH_OFTEN if finish else 1.0}


def _shares(finish: bool) -> dict[str, float]:
    return _FINISH_SHARES if finish else _SHARES


def draw(
    library: Library, size: tuple[int, int], rng: np.random.Generator, finish: bool = False
) -> Sample:
    """Draw one training sample of `size` (height, width): a photo, somebody pasted into a room, or nobody."""
    possible = {kind: share for kind, share in _shares(finish).items() if len(library.pool(kind))}
    kind = choose(possible, rng)
    pasted = kind in _PASTED
    sample = window(_pick(library.rooms if pasted else library.pool(kind), rng), size, rng)
    if pasted:
        for _ in range(2 if rng.random() < 0.12 else 1):
            sample = _paste(_pick(library.pool(kind), rng), sample, rng)
    image = photometric(sample.image, rng, _FINISH_OFTEN if finish else 1.0)
    return Sample(image, sample.alpha, sample.valid, sample.image)


def choose(shares: Mapping[str, float], rng: np.random.Generator) -> str:
    """One of the names, as often as its share of all the shares."""
    weights = np.array(list(shares.values()))
    return str(rng.choice(list(shares), p=weights / weights.sum()))


def _pick(items: Sequence[Labelled], rng: np.random.Generator) -> Labelled:
    return items[int(rng.integers(len(items)))]


def warp(picture: Image, matrix: NDArray[np.float64], size: tuple[int, int], border: int) -> Image:
    """uint8 [H, W] or [H, W, 3] through an affine map (float64 [2, 3]) into `size` (height, width), no aliasing."""
    shrink = min(np.hypot(matrix[0, 0], matrix[0, 1]), np.hypot(matrix[1, 0], matrix[1, 1]))
    if shrink < 0.6:  # against aliasing: bilinear sampling alone would skip pixels
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.35 / float(shrink)), np.uint8)
    return np.asarray(
        cv2.warpAffine(picture, matrix, size[::-1], flags=cv2.INTER_LINEAR, borderMode=border),
        np.uint8,
    )


def affine(
    source: tuple[float, float],
    target: tuple[float, float],
    scale: tuple[float, float],
    degrees: float,
    flip: bool,
) -> NDArray[np.float64]:
    """The affine map that takes `source` (x, y) to `target`: mirrored, turned, then scaled per axis."""
    turn = np.deg2rad(degrees)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = np.diag(scale) @ rotation @ np.diag([-1.0 if flip else 1.0, 1.0])
    offset = np.array(target) - linear @ np.array(source)
    return np.hstack([linear, offset[:, None]])


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
    """Paste a person as a webcam shows one: usually cut by the lower edge, sometimes by another, or far away."""
    height, width = into.alpha.shape
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
    return Sample(image, np.maximum(alpha, into.alpha), into.valid, image)


def extent(alpha: Image) -> tuple[int, int, int, int]:
    """Rows and columns that the person covers: top, bottom, left, right; the whole picture where nobody is."""
    rows, columns = np.flatnonzero((alpha > 127).any(1)), np.flatnonzero((alpha > 127).any(0))
    if not rows.size:
        return 0, alpha.shape[0], 0, alpha.shape[1]
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
