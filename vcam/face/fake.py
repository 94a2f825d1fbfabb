"""A parser without an engine that returns known labels: for tests, and to judge effects in
isolation.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam.errors import EngineError
from vcam.face.parser import Crop
from vcam.frame import FaceClass, Frame, Plane
from vcam.matting.pyramid import Pyramid

PARSE_PX = 224


class KnownFaces:
    """Returns known labels, as soft as those of an engine of 224 pixels.

    Args:
        labels: maps a frame index to labels uint8 [H, W], 0..8 as in FaceClass.
        fail_at: the parse (from 0) that raises EngineError.
        stall_at: the parse that blocks until `release` is set.
    """

    def __init__(
        self,
        labels: Callable[[int], Plane],
        fail_at: int | None = None,
        stall_at: int | None = None,
    ) -> None:
        self._labels, self._fail_at, self._stall_at = labels, fail_at, stall_at
        self.parses: list[tuple[int, Crop]] = []
        self.open = False
        self.threads: set[int] = set()
        self.release = threading.Event()

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

    def parse(self, frame: Frame, pyramid: Pyramid, crop: Crop) -> NDArray[np.uint8]:
        self.parses.append((frame.index, crop))
        self.threads.add(threading.get_ident())
        if len(self.parses) - 1 == self._fail_at:
            raise EngineError(f"known faces: parse {self._fail_at} fails as asked")
        if len(self.parses) - 1 == self._stall_at:
            self.release.wait(60)
        return planes_of(self._labels(frame.index), crop)


def planes_of(labels: Plane, crop: Crop) -> NDArray[np.uint8]:
    """Cut a square out of labels uint8 [H, W]: uint8 [9, 224, 224], soft at class
    boundaries.
    """
    matrix = crop.to_frame(PARSE_PX)
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    sigma = max(0.5, 0.5 * crop.side / PARSE_PX)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    planes = []
    for which in FaceClass:
        plane = np.asarray(cv2.inRange(labels, int(which), int(which)), np.uint8)
        plane = np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma), np.uint8)
        beyond = 255 if which == FaceClass.BACKGROUND else 0
        planes.append(
            cv2.warpAffine(plane, matrix, (PARSE_PX, PARSE_PX), flags=flags, borderValue=beyond)
        )
    return np.stack([np.asarray(plane, np.uint8) for plane in planes])
