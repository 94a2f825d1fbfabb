"""A person engine for the pipeline: converts frames to mattes."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam.backends.base import Backend
from vcam.backends.contract import Contract
from vcam.backends.runner import EngineRunner
from vcam.colour import small_to_rgb
from vcam.frame import Frame, Matrix, Matte, Plane
from vcam.matting.pyramid import Pyramid, halve


class MatteEngine(Protocol):
    """The pipeline's source of mattes; used by one thread."""

    @property
    def has_worked(self) -> bool:
        """Whether it was opened before."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def about(self) -> dict[str, object]:
        """The engine and backend in use, for reports; safe from any thread."""

    def reset(self) -> None:
        """Forget earlier pictures."""

    def matte(self, frame: Frame, pyramid: Pyramid) -> Matte:
        """Compute the matte of a frame; its pyramid speeds up shrinking.

        Raises:
            EngineError: the engine failed.
        """

    def notice_drops(self, dropped: int) -> None:
        """Report how many frames the run has dropped so far because the engine was busy."""


class Matter(EngineRunner):
    """Runs a person engine: uint8 RGB `image` to uint8 `alpha`, carrying states from frame to
    frame.

    Used by one thread, like its backend. `has_worked`: it was opened before.
    """

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.has_worked = False
        self._contract: Contract | None = None
        self._states: dict[str, NDArray[np.float32]] = {}

    def _start(self) -> None:
        self._contract = Contract.of(self._backend, "alpha")
        self.reset()
        self.alpha(np.zeros((*self._contract.size, 3), np.uint8))
        self.reset()
        self.has_worked = True

    def reset(self) -> None:
        """Forget earlier pictures (only engines with states remember any)."""
        self._states = self._contract.zeros() if self._contract else {}

    def notice_drops(self, dropped: int) -> None:
        """See `MatteEngine`; an engine that the user named is never changed."""

    def matte(self, frame: Frame, pyramid: Pyramid) -> Matte:
        """Compute the matte of a frame; its pyramid speeds up shrinking.

        Raises:
            EngineError: the engine failed.
        """
        height, width = self.size
        luma = pyramid.at_least(height, width) or frame
        chroma = pyramid.at_least(height // 2, width // 2) or frame
        planes = luma.y, chroma.u, chroma.v
        return Matte(self.alpha(small_rgb(planes, frame.matrix, (height, width))))

    def matte_of_picture(self, image: NDArray[np.uint8]) -> Matte:
        """Compute the matte of a single uint8 [H, W, 3] RGB picture of any size, independent of
        earlier ones.
        """
        self.reset()
        height, width = self.size
        shrinks = image.shape[0] >= height and image.shape[1] >= width
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return Matte(
            self.alpha(
                np.asarray(cv2.resize(image, (width, height), interpolation=method), np.uint8)
            )
        )

    def alpha(self, image: NDArray[np.uint8]) -> Plane:
        """Run on uint8 [h, w, 3] RGB of the engine's own size; uint8 [h, w], 0 room .. 255 person.

        Raises:
            EngineError: the engine failed, or its output does not match its declaration.
        """
        assert self._contract is not None, "an engine is run inside its context only"
        outputs = self._backend.run({"image": image[None], **self._states})
        alpha, self._states = self._contract.check(outputs)
        return alpha

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the engine's input, in pixels; while it is open."""
        assert self._contract is not None, "an engine is run inside its context only"
        return self._contract.size


def small_rgb(
    planes: tuple[Plane, Plane, Plane], matrix: Matrix, size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Shrink a picture and convert it to full-range RGB.

    Planes are shrunk first, by exact halving and then bilinearly, so only few pixels are converted.

    Args:
        planes: luma, Cb and Cr, uint8, limited range; sizes may differ.
        matrix: the YCbCr coefficients.
        size: (height, width) of the result, both even.

    Returns:
        uint8 [height, width, 3], a new array.
    """
    height, width = size
    small = Frame.empty((width, height), matrix)
    for plane, target in zip(planes, small.planes, strict=True):
        rows, columns = target.shape
        shrunk = plane
        while shrunk.shape[0] >= 2 * rows and shrunk.shape[1] >= 2 * columns:
            shrunk = halve(shrunk)
        cv2.resize(shrunk, (columns, rows), dst=target, interpolation=cv2.INTER_LINEAR)
    return small_to_rgb(small)
