"""Detectors, a mesh and a parser without engines, which know where the faces are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from vcam.effects.outlines import EYE_CORNERS, Points
from vcam.face.networks import Detection, Fit
from vcam.face.parser import Crop
from vcam.frame import Frame
from vcam.matting.pyramid import Pyramid

TEMPLATE = np.load(Path(__file__).parent / "mesh.npy").astype(np.float32)
"""float32 [478, 3]: the mesh of a man who looks into the camera, 1 high, its middle at 0."""


@dataclass(frozen=True, slots=True)
class Head:
    """A face: its middle and its height from the mesh's top to the chin, in pixels; radians."""

    x: float = 320.0
    y: float = 180.0
    height: float = 120.0
    angle: float = 0.0
    score: float = 0.9
    presence: float = 0.99

    @property
    def points(self) -> Points:
        """The mesh."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        turn = self.height * np.array([[cos, -sin], [sin, cos]])
        place = TEMPLATE[:, :2] @ turn.T + (self.x, self.y)
        return np.column_stack([place, TEMPLATE[:, 2] * self.height]).astype(np.float32)

    def detection(self, scale: float = 1.0, turn: float = 0.0) -> Detection:
        """As a detector sees it, perhaps too large, or turned."""
        head = Head(self.x, self.y, self.height, self.angle + turn)
        eyes = head.points[list(EYE_CORNERS), :2].astype(np.float64)
        side = scale * self.height
        return Detection(self.score, self.x, self.y, side, side, eyes)


Heads = Callable[[int], tuple[Head, ...]]


class _Known:
    def __init__(self, heads: Heads) -> None:
        self.heads = heads
        self.open = False
        self.looked: list[tuple[int, Crop]] = []

    def __enter__(self) -> Self:
        self.open = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.open = False


class KnownDetector(_Known):
    """Sees the faces that lie in a window and are at least so much of it, turned as the window."""

    def __init__(self, heads: Heads, least: float = 0.12) -> None:
        super().__init__(heads)
        self._least = least

    def detect(self, frame: Frame, pyramid: Pyramid, window: Crop) -> list[Detection]:
        self.looked.append((frame.index, window))
        return [
            head.detection()
            for head in self.heads(frame.index)
            if abs(head.x - window.x) < window.side / 2 - head.height / 3
            and abs(head.y - window.y) < window.side / 2 - head.height / 3
            and head.height >= self._least * window.side
            and np.cos(head.angle - window.angle) > 0.5
        ]


class KnownMesh(_Known):
    """Lays the mesh of the nearest face, as the square is turned; far off or askew hardly present.

    noise: standard deviation of its points, in shares of the face's height.
    """

    def __init__(self, heads: Heads, noise: float = 0.0) -> None:
        super().__init__(heads)
        self._noise, self._rng = noise, np.random.default_rng(5)

    def fit(self, frame: Frame, pyramid: Pyramid, square: Crop) -> Fit:
        self.looked.append((frame.index, square))
        heads = self.heads(frame.index)
        if not heads:
            return Fit(Head(square.x, square.y, square.side / 2, square.angle).points, 0.0)
        head = min(heads, key=lambda h: np.hypot(h.x - square.x, h.y - square.y))
        off = np.hypot(head.x - square.x, head.y - square.y) / head.height
        zoom = square.side / (1.5 * head.height)
        fits = off < 0.4 and 0.6 < zoom < 1.4
        points = head.points
        points[:, :2] += self._rng.normal(0, self._noise * head.height, (len(points), 2))
        if not fits:
            return Fit(Head(square.x, square.y, square.side / 2, square.angle).points, 0.1)
        agrees = np.cos(head.angle - square.angle)
        if agrees < 0.5:
            turned = Head(head.x, head.y, head.height, square.angle).points
            return Fit(turned, min(head.presence, 0.7) if agrees < -0.9 else 0.1)
        return Fit(points, head.presence)
