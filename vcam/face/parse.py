"""Parsing: a parser's output for a face with a mesh, moved with the mesh until the next parse."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam.effects.outlines import (
    CHEEKS,
    CHIN,
    EYE_CORNERS,
    EYES,
    FOREHEAD,
    LIPS_OUTER,
    MOUTH_CORNERS,
    Points,
    apart,
    eye_width,
    face_height,
    outline,
    raised_oval,
    similarity,
)
from vcam.face.motion import chain
from vcam.face.parser import Crop, Parser
from vcam.face.tidy import tidy
from vcam.face.tracker import CROP_SHARE, mixed, only
from vcam.frame import FaceClass, FaceGates, FaceRegions, Frame, Plane
from vcam.matting.pyramid import Pyramid

_HAIRLINE = 1.2
"""Height of a face, chin to hairline, as a multiple of the mesh's."""
_WIDE = 1.9
"""Minimum side of the square as a share of the face's width: nodding heads look flat."""
_MINE = 1.3
"""Pixels outside the oval, enlarged by this factor, belong to another face or a hand."""
_STABLE = (
    10,
    151,
    9,
    168,
    6,
    197,
    195,
    5,
    33,
    133,
    263,
    362,
    234,
    454,
    127,
    356,
    93,
    323,
    132,
    361,
)
"""Points that barely move while speaking and blinking: forehead, bridge of the nose, corners of the
eyes, temples, cheeks."""
_MOUTH_WIDER, _EYES_WIDER = 0.09, 0.09
"""Extra margin of the gates around the parser's class, as a share of the mouth's and the eye's
width."""
_CLOSE = 0.25
"""Maximum width of gaps in the mouth that are closed (an open mouth is dark and not labelled as
mouth), as a share of its width."""
_TRUSTED = (0.15, 0.45)
"""Best share of the mesh's mouth or eyes that a parser ever labelled so: below the first value it
is not used as a gate for this face (a beard hides the lips), from the second on it is.
"""
_HALF = 127


@dataclass(frozen=True, slots=True)
class ParsedMesh:
    """A parser's output for a face whose mesh was `points` at that time.

    trust: 0..1, weight of the parser's mouth and eyes as gates, from the best parse of this face so
        far. seen: share of the oval that is labelled as part of a face.
    """

    regions: FaceRegions
    points: Points
    trust: tuple[float, float]
    seen: float

    def on(self, points: Points) -> FaceRegions:
        """Move it to the mesh's current position."""
        motion = similarity(self.points[list(_STABLE)], points[list(_STABLE)])
        to_frame = chain(motion, self.regions.to_frame)
        return replace(self.regions, to_frame=to_frame, points=points)


class RegionParser:
    """Parses faces that have a mesh. Used by one thread, like its parser."""

    def __init__(self, parser: Parser) -> None:
        self._parser = parser

    def parse(
        self, frame: Frame, pyramid: Pyramid, points: Points, last: ParsedMesh | None
    ) -> ParsedMesh:
        """Parse the regions of a face.

        Args:
            frame: the picture.
            pyramid: of the same frame.
            points: the mesh in it.
            last: the previous parse of this face.

        Raises:
            EngineError: the parser failed.
        """
        crop = parse_square(points)
        probs = self._parser.parse(frame, pyramid, crop)
        to_frame = crop.to_frame(probs.shape[2])
        inside = _in_crop(points, to_frame)
        probs = only(probs, _own_place(inside, probs.shape[1:]))
        tidy(probs)
        regions = FaceRegions(probs, to_frame)
        if last is not None:
            regions = replace(regions, probs=mixed(regions, last.on(points)))
        best = last.trust if last is not None else (0.0, 0.0)
        gates, trust = _gates(regions.probs, inside, best)
        whole = _filled(raised_oval(inside), probs.shape[1:])
        face = np.clip(regions.probs[FaceClass.SKIN :].sum(axis=0, dtype=np.int32), 0, 255)
        seen = _share(face.astype(np.uint8), whole)
        return ParsedMesh(replace(regions, gates=gates), points, trust, seen)


def unparsed(points: Points) -> FaceRegions:
    """The regions of a face that was not parsed yet."""
    crop = parse_square(points)
    probs = np.zeros((len(FaceClass), 8, 8), np.uint8)
    return FaceRegions(probs, crop.to_frame(8), points=points)


def parse_square(points: Points) -> Crop:
    """The square that parsers are trained on: around the whole face, eyes level."""
    chin, up = points[CHIN, :2], points[FOREHEAD, :2] - points[CHIN, :2]
    x, y = chin + up * (_HAIRLINE / 2)
    side = max(CROP_SHARE * _HAIRLINE * face_height(points), _WIDE * apart(points, CHEEKS))
    across = points[EYE_CORNERS[1], :2] - points[EYE_CORNERS[0], :2]
    return Crop(float(x), float(y), side, float(np.arctan2(across[1], across[0])))


def _in_crop(points: Points, to_frame: NDArray[np.float64]) -> Points:
    back = cv2.invertAffineTransform(to_frame)
    place = points[:, :2] @ back[:, :2].T + back[:, 2]
    return np.column_stack([place, points[:, 2:]]).astype(np.float32)


def _own_place(inside: Points, shape: tuple[int, ...]) -> Plane:
    corners = raised_oval(inside)
    middle = corners.mean(axis=0)
    return _filled(middle + _MINE * (corners - middle), shape)


def _filled(corners: NDArray[np.float32], shape: tuple[int, ...]) -> Plane:
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.rint((corners - 0.5) * 16).astype(np.int32)], 255, shift=4)
    return mask


def _gates(
    probs: NDArray[np.uint8], inside: Points, best: tuple[float, float]
) -> tuple[FaceGates, tuple[float, float]]:
    """The gates of the parser, and their new weights."""
    mouth = cv2.add(probs[FaceClass.LIPS], probs[FaceClass.TEETH])
    eyes = cv2.add(probs[FaceClass.LEFT_EYE], probs[FaceClass.RIGHT_EYE])
    width = apart(inside, MOUTH_CORNERS)
    shape = probs.shape[1:]
    left, right = (_filled(outline(inside, eye), shape) for eye in EYES)
    lids = cv2.add(left, right)
    closed = cv2.morphologyEx(mouth, cv2.MORPH_CLOSE, _disc(_CLOSE * width / 2))
    seen = _share(closed, _filled(outline(inside, LIPS_OUTER), shape)), _share(eyes, lids)
    low, high = _TRUSTED
    trust = tuple(
        max(b, float(np.clip((s - low) / (high - low), 0, 1)))
        for b, s in zip(best, seen, strict=True)
    )
    open_mouth = cv2.dilate(closed, _disc(_MOUTH_WIDER * width))
    open_eyes = cv2.dilate(eyes, _disc(_EYES_WIDER * max(eye_width(inside, s) for s in (0, 1))))
    gates = FaceGates(_softened(open_mouth, trust[0]), _softened(open_eyes, trust[1]), seen[0])
    return gates, (trust[0], trust[1])


def _share(plane: cv2.typing.MatLike, where: cv2.typing.MatLike) -> float:
    count = cv2.countNonZero(where)
    if not count:
        return 0.0
    sure = cv2.threshold(plane, _HALF, 255, cv2.THRESH_BINARY)[1]
    return cv2.countNonZero(cv2.bitwise_and(sure, where)) / count


def _softened(gate: cv2.typing.MatLike, trust: float) -> Plane:
    """Open the gate everywhere as far as the parser is not trusted."""
    soft = cv2.GaussianBlur(gate, (5, 5), 0)
    return np.asarray(cv2.convertScaleAbs(soft, alpha=trust, beta=255 * (1 - trust)), np.uint8)


def _disc(radius: float) -> NDArray[np.uint8]:
    side = 2 * max(1, round(radius)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)
