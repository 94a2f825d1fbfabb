"""Readers of labelled faces, and the random pictures that training of a face parser sees.

A data folder holds `face/real` (photographs, most with the alpha of the same person in
`person/cutouts`) and `face/avatars` (renders with alpha). Classes are those of EasyPortrait version
1: 0 background, 1 person, 2 skin, 3 left brow, 4 right brow, 5 left eye, 6 right eye, 7 lips, 8
teeth; left is the left of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from export.data.augment import light, photometric
from export.data.files import evenly, fitted, read_plane
from export.data.geometry import affine, warp
from export.data.image import Image, u8
from export.data.items import Labelled, LabelledFace, Sample
from export.data.manifest import Row, read_face, read_set, rows_of
from export.data.occluders import occlude
from export.data.people import Joined, choose, window
from export.errors import ExportError

SKIN, TEETH = 2, 8
_MIRRORED = np.arange(256, dtype=np.uint8)
_MIRRORED[3:7] = (4, 3, 6, 5)
"""The class that each becomes in a mirrored picture."""
_LONGEST_PX = 640
_MIN_TEETH_PX = 60
_LOOKED_AT = 1000
_UNKNOWN = 255
"""Label of pixels of unknown class, which neither loss nor box may count."""


@dataclass(frozen=True, slots=True)
class Face:
    """A picture with the classes of its pixels.

    image: uint8 [H, W, 3] RGB. label: uint8 [H, W], 0..8, 255 unknown. alpha: uint8 [H, W] to paste
    with, or None.
    box: left, top, right, bottom of the facial skin, pixels.
    """

    name: str
    image: Image
    label: Image
    alpha: Image | None
    box: tuple[int, int, int, int]


def read_faces(
    folder: Path, split: str, longest_px: int = _LONGEST_PX, licence: str = "any"
) -> list[Face]:
    """One set of faces, pictures shrunk to `longest_px`.

    Raises:
        ExportError: no manifest in the folder, or a picture that it names is missing.
    """
    return [_read(row, longest_px) for row in rows_of(folder, split, licence)]


def _read(row: Row, longest_px: int) -> Face:
    face, path = read_face(row), row.alpha_path
    alpha = fitted(path, read_plane(path), face.label.shape) if path and path.exists() else None
    return _face_of(row.file, face.image, face.label, alpha, longest_px)


def as_face(item: LabelledFace, longest_px: int = _LONGEST_PX) -> Face:
    """A face of another set."""
    label = np.where(item.valid > 0, item.label, _UNKNOWN).astype(np.uint8)
    return _face_of(item.name, item.image, label, None, longest_px)


def _face_of(name: str, image: Image, label: Image, alpha: Image | None, longest_px: int) -> Face:
    scale = longest_px / max(label.shape)
    if scale < 1:
        size = (round(label.shape[1] * scale), round(label.shape[0] * scale))
        image = u8(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
        label = u8(cv2.resize(label, size, interpolation=cv2.INTER_NEAREST))
        alpha = None if alpha is None else u8(cv2.resize(alpha, size, interpolation=cv2.INTER_AREA))
    return Face(name, image, label, alpha, skin_box(label))


def skin_box(label: Image) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of skin and the parts on it; the whole picture where there is no
    face.
    """
    face = (label >= SKIN) & (label != _UNKNOWN)
    rows, columns = np.flatnonzero(face.any(1)), np.flatnonzero(face.any(0))
    if not rows.size:
        return 0, 0, label.shape[1], label.shape[0]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


class _Faces(Sequence[Face]):
    """Faces of other sets, each read when it is asked for; `indices`: of those that count, else
    all.
    """

    def __init__(self, items: Sequence[LabelledFace], indices: Sequence[int] | None = None) -> None:
        self._items, self._indices = items, range(len(items)) if indices is None else indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: Any) -> Any:
        return as_face(self._items[self._indices[index]])


@dataclass(frozen=True, slots=True)
class FaceLibrary:
    """Everything that training of a face parser draws from. smiling: those of `real` that show
    teeth.
    """

    real: Sequence[Face]
    smiling: Sequence[Face]
    avatars: Sequence[Face]
    rooms: Sequence[Labelled]

    @classmethod
    def read(
        cls, data: Path | None, split: str, licence: str = "any", more: Sequence[LabelledFace] = ()
    ) -> FaceLibrary:
        """Read the sets of a data folder, where there is one; photographs without anybody are among
        the rooms.

        `more`: faces from elsewhere, which join the real ones. They are read when they are drawn;
        only a thousand of them, evenly chosen, are looked at in advance for teeth, and the smiling
        ones are found among these.

        Raises:
            ExportError: a set is missing or damaged, or there is no real face in this split.
        """
        own: list[Face] = []
        avatars: list[Face] = []
        rooms: list[Labelled] = []
        if data is not None:
            own += read_faces(data / "face/real", split, licence=licence)
            avatars += read_faces(data / "face/avatars", split, licence=licence)
            for name in ("backgrounds", "backgrounds_rooms", "person/wild"):
                pictures = read_set(data / name, split, licence=licence)
                rooms += [x for x in pictures if x.is_room]
        if not (own or more):
            raise ExportError(
                f"{data or '--data'}: no real faces in the {split} split under licence {licence}"
            )
        real = Joined(own, _Faces(more))
        return cls(real, _smiling(own, more) or real, avatars, rooms)


def _smiling(own: Sequence[Face], more: Sequence[LabelledFace]) -> Sequence[Face]:
    smiling = [i for i in evenly(range(len(more)), _LOOKED_AT) if _shows_teeth(as_face(more[i]))]
    return Joined([face for face in own if _shows_teeth(face)], _Faces(more, smiling))


def _shows_teeth(face: Face) -> bool:
    return int(np.count_nonzero(face.label == TEETH)) >= _MIN_TEETH_PX


_SHARES = {"real": 0.42, "smiling": 0.2, "avatar": 0.33, "room": 0.05}
_NEAR, _FAR, _OFTEN_FAR = (1.35, 2.2), (2.2, 7.0), 0.15
"""Side of the square in heights of the face."""
_OWN_WALL = 0.35
OCCLUDERS = 0.12
"""The share of faces that something covers in part."""
_OFTEN, _FINISH_OFTEN = 0.7, 0.35


def draws(finish: bool, occluders: float) -> dict[str, Any]:
    """How samples are drawn, for the record of a run: shares of kinds, sides of the squares in
    heights of the face.

    Kinds missing from the data are skipped, and their share is redistributed.
    """
    return {
        "kinds": _SHARES,
        "near": _NEAR,
        "far": _FAR,
        "often_far": _OFTEN_FAR,
        "occluded": occluders,
        "often": _FINISH_OFTEN if finish else _OFTEN,
    }


def draw_face(
    library: FaceLibrary,
    size: tuple[int, int],
    rng: np.random.Generator,
    finish: bool = False,
    occluders: float = OCCLUDERS,
) -> Sample:
    """Draw one training sample of `size` (height, width): a face, usually large, before its own or
    another wall.

    The sample's `target` holds classes. `finish`: the last phase, on pictures that are changed
    less. `occluders`: the share of faces, 0 to 1, that a made-up shape covers in part
    (`export.data.occluders`).
    """
    people = {"real": library.real, "smiling": library.smiling, "avatar": library.avatars}
    possible = {
        kind: share for kind, share in _SHARES.items() if len(people.get(kind, library.rooms))
    }
    kind = choose(possible, rng)
    room = library.rooms[int(rng.integers(len(library.rooms)))] if library.rooms else None
    if kind == "room" and room is not None:
        sample = window(room, size, rng)
    else:
        faces = people[kind]
        sample = _face(faces[int(rng.integers(len(faces)))], room, size, rng)
    if kind != "room" and rng.random() < occluders:
        texture = (
            room.image
            if room is not None
            else library.real[int(rng.integers(len(library.real)))].image
        )
        covered = occlude(LabelledFace("", sample.image, sample.target, sample.valid), texture, rng)
        sample = Sample(covered.image, covered.label, covered.valid, covered.image)
    image = photometric(sample.image, rng, _FINISH_OFTEN if finish else _OFTEN)
    return Sample(image, sample.target, sample.valid, sample.image)


def _face(
    face: Face, room: Labelled | None, size: tuple[int, int], rng: np.random.Generator
) -> Sample:
    """A square around the face, its side 1.35 to 2.2 times the face's height, at times far more.

    Where the square leaves the picture, and the person can be cut out, another room is behind.
    """
    left, top, right, bottom = face.box
    tall = bottom - top
    many = np.exp(rng.uniform(*np.log(_FAR if rng.random() < _OFTEN_FAR else _NEAR)))
    side = tall * float(many)
    jitter = rng.normal(0, 0.1, 2) * side
    centre = ((left + right) / 2 + float(jitter[0]), (top + bottom) / 2 + float(jitter[1]))
    flip = bool(rng.random() < 0.5)
    stretch = float(np.exp(rng.normal(0, 0.05)))
    scale = (size[1] / side * stretch, size[0] / side / stretch)
    matrix = affine(centre, (size[1] / 2, size[0] / 2), scale, float(rng.normal(0, 9)), flip)
    label = np.asarray(
        cv2.warpAffine(face.label, matrix, size[::-1], flags=cv2.INTER_NEAREST), np.uint8
    )
    label = _MIRRORED[label] if flip else label
    known = (label != _UNKNOWN).astype(np.uint8)
    label = label * known
    if room is None or face.alpha is None or rng.random() < _OWN_WALL:
        image = warp(face.image, matrix, size, cv2.BORDER_REPLICATE)
        inside = cv2.warpAffine(
            np.ones(face.label.shape, np.uint8), matrix, size[::-1], flags=cv2.INTER_NEAREST
        )
        return Sample(image, label, np.asarray(inside * known, np.uint8), image)
    behind = window(room, size, rng)
    look = light(face.image, rng) if rng.random() < 0.5 else face.image
    colour, alpha = (
        warp(look, matrix, size, cv2.BORDER_REPLICATE),
        warp(face.alpha, matrix, size, cv2.BORDER_CONSTANT),
    )
    weight = alpha.astype(np.float32)[..., None] / 255
    image = (colour * weight + behind.image * (1 - weight)).astype(np.uint8)
    return Sample(image, label, known, image)
