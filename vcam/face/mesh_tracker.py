"""Track faces in a run: detected by detectors, tracked by meshes, parsed periodically."""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

import numpy as np

from vcam.effects.outlines import Points
from vcam.face.admit import Admission
from vcam.face.follow import MeshTrack
from vcam.face.motion import moved_since
from vcam.face.networks import Detection, Detector, Mesh
from vcam.face.parse import ParsedMesh, RegionParser, unparsed
from vcam.face.parser import Crop, Parser
from vcam.face.seek import Seeker, by_size
from vcam.face.tidy import tidy
from vcam.face.tracker import FaceParse, ParsedFace, find_faces, only
from vcam.frame import FaceClass, FaceRegions, Frame, Plane
from vcam.matting.pyramid import Pyramid

_PARSES_S = 0.25
"""Live, faces are parsed four times a second altogether, in turns."""
_FITS = 2
"""Live, number of meshes fitted per frame: the largest face's, and one other in turn."""
_LARGER = 1.3
"""A new face replaces the smallest tracked one if it is larger by this factor."""
SAME_FACE = 0.4
"""Two faces are the same if one covers this share of the other."""
_PARSED_SCORE, _PARSED_SCALE = 0.6, 2.2
"""A box without a mesh is parsed from this score on, in a square this many times its longer side.
"""
_PARSED_MISSES = 2
_LEAST_SEEN = 0.1
"""Share of a new mesh's oval that the parser must label as part of a face: a dog's gets
none."""
_NOWHERE = Crop(0, 0, 0)

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class FaceNetworks:
    """The engines that detect and track faces; opened and closed by the tracker."""

    near: Detector
    far: Detector
    mesh: Mesh
    parser: Parser


@dataclass(slots=True)
class _Face:
    """A tracked face: by its mesh, or if `mesh` is None by its parses alone, in `crop`."""

    number: int
    mesh: MeshTrack | None = None
    parsed: ParsedMesh | None = None
    crop: Crop = _NOWHERE
    alone: FaceRegions | None = None
    misses: int = 0
    parsed_ns: int | None = None
    is_refused: bool = False

    @property
    def size(self) -> float:
        """Approximate height of the face in frame pixels."""
        return self.mesh.height if self.mesh is not None else self.crop.side / 2

    @property
    def box(self) -> tuple[float, float, float, float]:
        """left, top, right, bottom."""
        if self.mesh is not None:
            return box_of(self.mesh.points)
        half = self.crop.side / 4
        x, y = self.crop.x, self.crop.y
        return x - half, y - half, x + half, y + half

    @property
    def is_lost(self) -> bool:
        if self.mesh is not None:
            return self.mesh.is_lost or self.is_refused
        return self.misses >= _PARSED_MISSES

    def regions(self) -> FaceRegions | None:
        if self.mesh is None:
            return self.alone
        if self.parsed is None:
            return unparsed(self.mesh.points)
        return self.parsed.on(self.mesh.points)


class MeshTracker:
    """Tracks up to `limit` faces, largest first. Used by one thread, like its engines.

    Args:
        networks: opened and closed with the tracker.
        limit: maximum number of tracked faces.
        live: detectors run at most four times a second and faces are parsed four times a second,
            after the frame is passed on; else every frame is parsed, and the first one is searched
            as thoroughly as a photograph.
    """

    def __init__(self, networks: FaceNetworks, limit: int, live: bool) -> None:
        self._networks, self._limit, self._live = networks, limit, live
        self._seeker = Seeker(networks.near, networks.far, live)
        self._admission = Admission(networks.mesh)
        self._regions = RegionParser(networks.parser)
        self._faces: list[_Face] = []
        self._numbers = itertools.count()
        self._before: Plane | None = None
        self._turn = 0
        self._parsed_ns: int | None = None
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        """Open the engines.

        Raises:
            EngineError: one does not load.
        """
        with ExitStack() as stack:
            for network in (
                self._networks.near,
                self._networks.far,
                self._networks.mesh,
                self._networks.parser,
            ):
                stack.enter_context(network)
            self._resources = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._resources.close()

    def follow(self, frame: Frame, pyramid: Pyramid) -> FaceParse:
        """Find the faces of the next frame.

        Raises:
            EngineError: an engine failed.
        """
        time_ns = self._time_ns(frame)
        self._follow_all(frame, pyramid)
        kept = [face for face in _apart(self._faces) if not face.is_lost]
        if len(kept) < len(self._faces):
            self._seeker.lost(time_ns)
        self._faces = kept
        if self._seeker.is_due(time_ns, len(self._faces), self._limit):
            self._seek(frame, pyramid, time_ns)
        if not self._live:
            for face in self._faces:
                self._parse(face, frame, pyramid)
            self._faces = [face for face in self._faces if not face.is_refused]
        self._faces.sort(key=lambda face: -face.size)
        self._before = pyramid.low.y
        shown = [(face.number, face.regions()) for face in self._faces]
        faces = tuple(ParsedFace(number, seen) for number, seen in shown if seen is not None)
        return FaceParse(frame.index, time_ns, pyramid.low.y, frame.size, faces)

    def refresh(self, frame: Frame, pyramid: Pyramid) -> None:
        """Live: parse one face, in turn, new faces first.

        Raises:
            EngineError: the parser failed.
        """
        if not self._live or not self._faces:
            return
        time_ns = self._time_ns(frame)
        new = [face for face in self._faces if face.parsed_ns is None]
        is_due = self._parsed_ns is None or not 0 <= time_ns - self._parsed_ns < _PARSES_S * 1e9
        if new or is_due:
            face = new[0] if new else min(self._faces, key=lambda f: f.parsed_ns or 0)
            self._parsed_ns = face.parsed_ns = time_ns
            self._parse(face, frame, pyramid)

    def _time_ns(self, frame: Frame) -> int:
        return frame.t_capture_ns if self._live else frame.pts_ns

    def _follow_all(self, frame: Frame, pyramid: Pyramid) -> None:
        meshes = [face.mesh for face in self._faces if face.mesh is not None]
        fitted = meshes
        if self._live and len(meshes) > _FITS:
            self._turn += 1
            others = meshes[1:]
            fitted = [
                meshes[0],
                *(others[(self._turn + i) % len(others)] for i in range(_FITS - 1)),
            ]
        for mesh in meshes:
            if any(mesh is each for each in fitted):
                mesh.update(self._networks.mesh, frame, pyramid, self._before)
            else:
                mesh.carry(pyramid, frame.size, self._before)
        for face in self._faces:
            if face.alone is not None:
                self._carry_alone(face, frame, pyramid)

    def _carry_alone(self, face: _Face, frame: Frame, pyramid: Pyramid) -> None:
        assert face.alone is not None
        moved = None
        if self._before is not None:
            moved = moved_since(face.alone, self._before, pyramid.low.y, frame.size)
        if moved is None:
            face.misses += 1
            return
        shift = moved.to_frame[:, 2] - face.alone.to_frame[:, 2]
        face.alone = moved
        face.crop = replace(face.crop, x=face.crop.x + shift[0], y=face.crop.y + shift[1])

    def _seek(self, frame: Frame, pyramid: Pyramid, time_ns: int) -> None:
        """Search for faces that are not tracked yet; at the limit, for ones larger than the
        smallest.
        """
        for found in by_size(self._seeker.look(frame, pyramid, time_ns)):
            box = _box_of_detection(found)
            known = next((f for f in self._faces if boxes_overlap(f.box, box) > SAME_FACE), None)
            if known is None:
                if self._has_room(max(found.width, found.height)):
                    self._admit(found, frame, pyramid)
            elif known.mesh is None or known.mesh.presence < _PARSED_SCORE:
                self._improve(known, found, frame, pyramid)

    def _has_room(self, size: float) -> bool:
        return len(self._faces) < self._limit or size > _LARGER * min(f.size for f in self._faces)

    def _admit(self, found: Detection, frame: Frame, pyramid: Pyramid) -> None:
        fit = self._admission.fit(frame, pyramid, found)
        face = _Face(next(self._numbers))
        if fit is not None:
            face.mesh = MeshTrack.at(face.number, fit.points, fit.presence)
        elif found.score >= _PARSED_SCORE:
            face.crop = found.square(_PARSED_SCALE)
            self._parse_alone(face, frame, pyramid)
            if face.alone is None:
                return
        else:
            return
        others = [f for f in self._faces if boxes_overlap(f.box, face.box) > SAME_FACE]
        if any(f.mesh is not None for f in others):
            return
        left = sorted((f for f in self._faces if f not in others), key=lambda f: -f.size)
        self._faces = [*left[: self._limit - 1], face]

    def _improve(self, known: _Face, found: Detection, frame: Frame, pyramid: Pyramid) -> None:
        """Let another detection replace a mesh with low presence, or a missing one."""
        fit = self._admission.fit(frame, pyramid, found)
        if fit is not None and (known.mesh is None or fit.presence > known.mesh.presence):
            known.mesh = MeshTrack.at(known.number, fit.points, fit.presence)
            known.alone, known.parsed = None, None

    def _parse(self, face: _Face, frame: Frame, pyramid: Pyramid) -> None:
        if face.mesh is not None:
            parsed = self._regions.parse(frame, pyramid, face.mesh.points, face.parsed)
            if face.parsed is None and parsed.seen < _LEAST_SEEN:
                face.is_refused = True
            face.parsed = parsed
        else:
            self._parse_alone(face, frame, pyramid)

    def _parse_alone(self, face: _Face, frame: Frame, pyramid: Pyramid) -> None:
        """Parse a face that has no mesh: a strong profile, a drawing."""
        probs = self._networks.parser.parse(frame, pyramid, face.crop)
        level = Crop(probs.shape[2] / 2, probs.shape[1] / 2, float(probs.shape[2]))
        found = find_faces(probs, level)
        if not found:
            face.misses += 1
            if face.parsed_ns is None:
                face.alone = None
            return
        mask, square = min(found, key=lambda f: np.hypot(f[1].x - level.x, f[1].y - level.y))
        probs = only(probs, mask)
        tidy(probs)
        if not _has_features(probs):
            face.misses += 1
            return
        to_frame = face.crop.to_frame(probs.shape[2])
        face.alone, face.misses = FaceRegions(probs, to_frame), 0
        x, y = to_frame @ (square.x, square.y, 1)
        side = square.side * face.crop.side / probs.shape[2]
        face.crop = replace(face.crop, x=float(x), y=float(y), side=side)


def _has_features(probs: np.ndarray) -> bool:
    """Whether a mouth and an eye are visible."""
    mouth = probs[FaceClass.LIPS].max()
    eyes = max(probs[FaceClass.LEFT_EYE].max(), probs[FaceClass.RIGHT_EYE].max())
    return bool(min(mouth, eyes) > 127)


def box_of(points: Points) -> Box:
    """left, top, right and bottom of a mesh."""
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _box_of_detection(found: Detection) -> tuple[float, float, float, float]:
    half_x, half_y = found.width / 2, found.height / 2
    return found.x - half_x, found.y - half_y, found.x + half_x, found.y + half_y


def boxes_overlap(one: Box, other: Box) -> float:
    """The share of the smaller box that the larger one covers."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    least = min((b[2] - b[0]) * (b[3] - b[1]) for b in (one, other))
    return max(wide, 0.0) * max(high, 0.0) / max(least, 1e-9)


def _apart(faces: list[_Face]) -> list[_Face]:
    """Of faces that cover each other, keep the one with the higher presence."""
    kept: list[_Face] = []
    for face in sorted(faces, key=lambda f: -(f.mesh.presence if f.mesh is not None else 0.0)):
        if not any(boxes_overlap(face.box, other.box) > SAME_FACE for other in kept):
            kept.append(face)
    return kept
