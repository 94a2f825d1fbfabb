"""Find faces in whole frames, then parse a square around the last position of each."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam.face.motion import chain, moved_since
from vcam.face.parser import Crop, Parser
from vcam.face.tidy import tidy
from vcam.frame import FaceClass, FaceRegions, Frame, Plane, Size
from vcam.matting.pyramid import Pyramid

CROP_SHARE = 1.7
"""Side of the square around a face as a multiple of the face's height, chin to hairline, as in the
engines' training.
"""
_LEASH = 0.03
"""Dead band of the square, as a share of its side: a face that only jitters does not move
it.
"""
_LEAST_AREA = 0.006
"""Minimum area of skin, as a share of the square, that counts as a face: one tenth of the
frame's height.
"""
_LEAST_FEATURES = 0.02
"""Eyes, brows, lips and teeth as a share of the face's area; a frontal face has 0.09, hands have
none.
"""
_SEARCH_S, _LOOK_ROUND_S = 0.25, 1.0
"""Seconds between searches of live frames while a face is missing, and of any frames for more or
larger faces.
"""
_SEEK_S = 3.0
"""Seconds during which a lost face counts as missing if others are in view."""
_LARGER = 1.3
"""A new face replaces the smallest tracked one if it is larger by this factor."""
_PATIENCE = 3
"""Number of parses without a face before the position is dropped."""
_OVERLAP = 0.6
"""Two squares whose centres are closer than this share of the larger face's height show the same
face.
"""
_FRESH = 0.4
"""Weight of a new parse that agrees with the last one; at a difference of 0.24 of full scale it is
1.
"""
_WORK_PX = 64


@dataclass(frozen=True, slots=True)
class ParsedFace:
    """A face with a number that stays the same from frame to frame."""

    number: int
    regions: FaceRegions


@dataclass(frozen=True, slots=True)
class FaceParse:
    """The faces found in one frame, by size, with its index, its shrunk luma uint8 [h, w] and its
    time.
    """

    index: int
    time_ns: int
    low: Plane
    size: Size
    faces: tuple[ParsedFace, ...]


@dataclass(slots=True)
class _Track:
    number: int
    crop: Crop
    seen: FaceRegions | None = None
    missed: int = 0


class FaceTracker:
    """Tracks up to `limit` faces, largest first. Used by one thread, like its parser.

    Args:
        parser: opened and closed with the tracker.
        limit: maximum number of tracked faces.
        live: search at most four times a second while a face is missing; else in every frame.
    """

    def __init__(self, parser: Parser, limit: int, live: bool) -> None:
        self._parser, self._limit, self._live = parser, limit, live
        self._tracks: list[_Track] = []
        self._numbers = itertools.count()
        self._last: FaceParse | None = None
        self._searched_ns: int | None = None
        self._lost_ns: int | None = None

    def __enter__(self) -> Self:
        """Open the parser.

        Raises:
            EngineError: it does not load.
        """
        self._parser.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._parser.__exit__(kind, error, trace)

    def follow(self, frame: Frame, pyramid: Pyramid) -> FaceParse:
        """Find the faces of the next frame.

        Raises:
            EngineError: the engine failed.
        """
        time_ns = frame.t_capture_ns if self._live else frame.pts_ns
        here = FaceParse(frame.index, time_ns, pyramid.low.y, frame.size, ())
        for track in self._tracks:
            self._parse(track, frame, pyramid, here)
        kept = [track for track in self._tracks if track.missed <= _PATIENCE]
        if len(kept) < len(self._tracks):
            self._lost_ns = time_ns
        self._tracks = kept
        if self._search_is_due(time_ns):
            self._search(frame, pyramid, here)
        faces = tuple(
            ParsedFace(t.number, t.seen)
            for t in self._tracks
            if t.seen is not None and not t.missed
        )
        self._last = replace(here, faces=faces)
        return self._last

    def refresh(self, frame: Frame, pyramid: Pyramid) -> None:
        """Do nothing: `follow` parses every frame."""

    def _search_is_due(self, time_ns: int) -> bool:
        is_lost = self._lost_ns is not None and 0 <= time_ns - self._lost_ns < _SEEK_S * 1e9
        misses_one = not self._tracks or (is_lost and len(self._tracks) < self._limit)
        every_ns = (_LOOK_ROUND_S if not misses_one else _SEARCH_S if self._live else 0) * 1e9
        due = self._searched_ns is None or not 0 <= time_ns - self._searched_ns < every_ns
        if due:
            self._searched_ns = time_ns
        return due

    def _search(self, frame: Frame, pyramid: Pyramid, here: FaceParse) -> None:
        """Search everywhere for faces that are not tracked yet; at the limit, for ones larger than
        the smallest.
        """
        candidates: list[Crop] = []
        for window in windows(frame.size):
            probs = self._parser.parse(frame, pyramid, window)
            candidates += [crop for _, crop in find_faces(probs, window)]
        for crop in sorted(candidates, key=lambda c: -c.side):
            is_new = not any(_is_same(crop, track.crop) for track in self._tracks)
            if is_new and (
                len(self._tracks) < self._limit or crop.side > _LARGER * self._tracks[-1].crop.side
            ):
                track = _Track(next(self._numbers), crop)
                self._parse(track, frame, pyramid, here)
                if not track.missed:
                    self._tracks = sorted(
                        [*self._tracks[: self._limit - 1], track], key=lambda each: -each.crop.side
                    )

    def _parse(self, track: _Track, frame: Frame, pyramid: Pyramid, here: FaceParse) -> None:
        """Parse a face's square, and move the square with the face."""
        probs = self._parser.parse(frame, pyramid, track.crop)
        middle = find_faces(probs, track.crop)
        others = [other.crop for other in self._tracks if other is not track]
        middle = [
            (mask, crop)
            for mask, crop in middle
            if not any(_is_same(crop, other) for other in others)
        ]
        if not middle:
            track.missed += 1
            return
        mask, found = min(
            middle, key=lambda face: np.hypot(face[1].x - track.crop.x, face[1].y - track.crop.y)
        )
        probs = only(probs, mask)
        tidy(probs)
        regions = FaceRegions(probs, track.crop.to_frame(probs.shape[2]))
        if track.seen is not None and self._last is not None and not track.missed:
            regions = _steadied(regions, track.seen, self._last, here)
        track.seen, track.missed = regions, 0
        track.crop = _led(track.crop, found)


def windows(size: Size) -> list[Crop]:
    """Overlapping squares as large as the frame's shorter side that cover it, the middle one
    first.
    """
    width, height = size
    side = min(size)
    count = 1 if max(size) == side else 1 + 2 * int(np.ceil((max(size) - side) / side))
    offsets = np.linspace(side / 2, max(size) - side / 2, count) if count > 1 else [side / 2]
    places = sorted(offsets, key=lambda place: abs(place - max(size) / 2))
    return [
        Crop(p, height / 2, side) if width >= height else Crop(width / 2, p, side) for p in places
    ]


def find_faces(probs: NDArray[np.uint8], crop: Crop) -> list[tuple[Plane, Crop]]:
    """Separate the faces in a parse.

    Args:
        probs: uint8 [C, h, w].
        crop: the square that was parsed.

    Returns:
        For each face its surroundings, uint8 [64, 64], 255 or 0, and the square for its next
        parse.
    """
    size = (_WORK_PX, _WORK_PX)
    small = np.stack(
        [cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in probs[FaceClass.SKIN :]]
    )
    face = small.sum(axis=0, dtype=np.int32)
    features = face - small[0]
    joined = cv2.morphologyEx(
        (face > 127).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)
    )
    count, labels = cv2.connectedComponents(joined)
    found = []
    for label in range(1, count):
        mine = labels == label
        area = face[mine].sum() / 255
        if area < _LEAST_AREA * _WORK_PX**2 or features[mine].sum() < _LEAST_FEATURES * 255 * area:
            continue
        around = cv2.dilate(mine.astype(np.uint8) * 255, np.ones((5, 5), np.uint8))
        found.append((np.asarray(around, np.uint8), _square_around(np.where(mine, face, 0), crop)))
    return found


def _square_around(face: NDArray[np.int32], crop: Crop) -> Crop:
    """The square for a face given by its weight per pixel; its height is four standard deviations,
    as for an ellipse.
    """
    moments = cv2.moments(face.astype(np.float32))
    step = crop.side / face.shape[1]
    x = crop.x - crop.side / 2 + (moments["m10"] / moments["m00"] + 0.5) * step
    y = crop.y - crop.side / 2 + (moments["m01"] / moments["m00"] + 0.5) * step
    spread = max(moments["mu02"], moments["mu20"]) / moments["m00"]
    return Crop(x, y, CROP_SHARE * 4 * float(np.sqrt(spread)) * step)


def _is_same(one: Crop, other: Crop) -> bool:
    return bool(
        np.hypot(one.x - other.x, one.y - other.y)
        < _OVERLAP / CROP_SHARE * max(one.side, other.side)
    )


def _led(crop: Crop, target: Crop) -> Crop:
    """Move the square towards the target, by the part of the difference beyond the dead band."""
    distance = float(np.hypot(target.x - crop.x, target.y - crop.y))
    pull = max(0.0, 1 - _LEASH * crop.side / distance) if distance else 0.0
    growth = abs(target.side - crop.side) / crop.side
    pull_side = max(0.0, 1 - 2 * _LEASH / growth) if growth else 0.0
    return Crop(
        crop.x + pull * (target.x - crop.x),
        crop.y + pull * (target.y - crop.y),
        crop.side + pull_side * (target.side - crop.side),
    )


def only(probs: NDArray[np.uint8], mask: Plane) -> NDArray[np.uint8]:
    """Clear all planes outside a mask of any size; a new array."""
    full = cv2.resize(mask, (probs.shape[2], probs.shape[1]), interpolation=cv2.INTER_LINEAR)
    return np.stack(
        [np.asarray(cv2.bitwise_and(plane, plane, mask=full), np.uint8) for plane in probs]
    )


def _steadied(
    new: FaceRegions, old: FaceRegions, before: FaceParse, here: FaceParse
) -> FaceRegions:
    """Mix a parse with the previous one, moved with the picture."""
    carried = moved_since(old, before.low, here.low, here.size)
    return new if carried is None else replace(new, probs=mixed(new, carried))


def mixed(new: FaceRegions, old: FaceRegions) -> NDArray[np.uint8]:
    """Mix a parse with an older one that was moved: where they agree, the older one has weight,
    which removes jitter.

    Returns:
        uint8 [C, h, w] in the new one's pixels, a new array.
    """
    back = np.asarray(cv2.invertAffineTransform(new.to_frame), np.float64)
    matrix = chain(back, old.to_frame)
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    size = (new.probs.shape[2], new.probs.shape[1])
    probs = new.probs.copy()
    for which in range(FaceClass.SKIN, len(probs)):
        past = cv2.warpAffine(old.probs[which], matrix, size, flags=cv2.INTER_LINEAR)
        change = cv2.subtract(new.probs[which], past, dtype=cv2.CV_32F)
        weight = np.minimum(np.abs(change) * np.float32(2.5 / 255) + np.float32(_FRESH), 1)
        cv2.add(past, weight * change, dst=probs[which], dtype=cv2.CV_8U)
    return probs
