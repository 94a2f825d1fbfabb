"""A face engine for the tracker: it takes a square of a frame and returns a plane per
class.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam.backends.base import Backend
from vcam.backends.contract import Contract
from vcam.backends.runner import EngineRunner
from vcam.colour import small_to_rgb
from vcam.frame import FaceClass, Frame, Plane, Size
from vcam.matting.pyramid import Pyramid


@dataclass(frozen=True, slots=True)
class Crop:
    """A square of frame pixels, which may extend beyond the frame.

    x, y: centre; side: in pixels; angle: of its upper edge, in radians, clockwise in the
        picture.
    """

    x: float
    y: float
    side: float
    angle: float = 0.0

    def to_frame(self, width: int) -> NDArray[np.float64]:
        """float64 [2, 3]: maps pixels (x, y, 1) of a parse of this width to frame
        pixels.
        """
        along, down = self.side / width * np.array([np.cos(self.angle), np.sin(self.angle)])
        matrix = np.array([[along, -down, self.x], [down, along, self.y]])
        matrix[:, 2] -= matrix[:, :2] @ (width / 2, width / 2)
        return matrix


class Parser(Protocol):
    """Parses squares of frames; opened, used and closed by one thread."""

    def __enter__(self) -> Self:
        """Load what is needed.

        Raises:
            EngineError: it does not load.
        """

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release everything; may be called twice."""

    def parse(self, frame: Frame, pyramid: Pyramid, crop: Crop) -> NDArray[np.uint8]:
        """Parse a square: uint8 [C, h, w], a plane per FaceClass, a new array.

        Raises:
            EngineError: the engine failed.
        """


class FaceParser(EngineRunner):
    """Runs a face engine of the engine contract: uint8 RGB `image` to uint8 `probs`.

    An engine of eight classes has none for the person beside the face: that plane is 0.
    """

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self._contract: Contract | None = None

    def _start(self) -> None:
        self._contract = Contract.of(self._backend, "probs")
        self.probs(np.zeros((*self._contract.size, 3), np.uint8))

    def parse(self, frame: Frame, pyramid: Pyramid, crop: Crop) -> NDArray[np.uint8]:
        assert self._contract is not None, "an engine is run inside its context only"
        height, width = self._contract.size
        return self.probs(cut_rgb(frame, pyramid, crop, (width, height)))

    def probs(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Run on uint8 [h, w, 3] RGB of the engine's own size; uint8 [C, h, w], a plane per
        FaceClass.

        Raises:
            EngineError: the engine failed, or its output does not match its declaration.
        """
        assert self._contract is not None, "an engine is run inside its context only"
        probs = self._contract.check(self._backend.run({"image": image[None]}))[0]
        if len(probs) == len(FaceClass):
            return probs
        return np.insert(probs, FaceClass.PERSON, 0, axis=0)


def cut_rgb(frame: Frame, pyramid: Pyramid, crop: Crop, size: Size) -> NDArray[np.uint8]:
    """Cut a square out of a frame and scale it.

    Args:
        frame: limited range.
        pyramid: of the same frame; the smallest sufficient level is used, so there is no
            aliasing.
        crop: the square; beyond the frame's edge the last pixels are repeated.
        size: (width, height) of the result, both even.

    Returns:
        uint8 [height, width, 3] RGB, full range, a new array.
    """
    small = Frame.empty(size, frame.matrix)
    levels = [frame.planes, *(level.planes for level in pyramid.levels)]
    for which, target in enumerate(small.planes):
        _cut([planes[which] for planes in levels], frame.size, crop, target)
    return small_to_rgb(small)


def _cut(planes: list[Plane], size: Size, crop: Crop, target: Plane) -> None:
    """Fill `target` from the smallest plane with sufficient resolution."""
    step = crop.side / target.shape[1]
    fine = [plane for plane in planes if size[0] / plane.shape[1] <= step * 1.01]
    source = fine[-1] if fine else planes[0]
    span = np.array([size[0] / source.shape[1], size[1] / source.shape[0]])
    to_frame = crop.to_frame(target.shape[1])
    corner = to_frame[:, 2] + to_frame[:, :2] @ (0.5, 0.5)
    matrix = np.column_stack([to_frame[:, :2] / span[:, None], corner / span - 0.5])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    shape = (target.shape[1], target.shape[0])
    cv2.warpAffine(source, matrix, shape, dst=target, flags=flags, borderMode=cv2.BORDER_REPLICATE)
