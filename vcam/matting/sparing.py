"""Save power by running the engine less often while the picture is still."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import cv2
import numpy as np

from vcam.frame import Frame, Matte, Plane
from vcam.matting.matter import MatteEngine
from vcam.matting.pyramid import Pyramid
from vcam.matting.smooth import NOISE_LEVELS

_MOVED_SHARE = 0.002
"""Share of the low frame that may change by more than noise: a hand of 20 x 40 pixels of 720p."""


class SparingMatter:
    """Runs another `MatteEngine` on every second frame while the picture is still.

    A frame that differs from the last computed one only by camera noise, except for a few pixels,
    reuses its matte; never twice in a row. A frame with motion is always computed, so nothing
    trails.
    """

    def __init__(self, engine: MatteEngine) -> None:
        self._engine = engine
        self._matte: Matte | None = None
        self._luma: Plane | None = None

    @property
    def has_worked(self) -> bool:
        """See `MatteEngine`."""
        return self._engine.has_worked

    def __enter__(self) -> Self:
        """Open the engine.

        Raises:
            EngineError: it does not open.
        """
        self._engine.__enter__()
        self._matte = None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._engine.__exit__(kind, error, trace)

    def about(self) -> dict[str, object]:
        """See `MatteEngine`."""
        return self._engine.about() | {"saves_power": True}

    def reset(self) -> None:
        """Forget earlier pictures."""
        self._engine.reset()
        self._matte = None

    def notice_drops(self, dropped: int) -> None:
        """See `MatteEngine`."""
        self._engine.notice_drops(dropped)

    def matte(self, frame: Frame, pyramid: Pyramid) -> Matte:
        """Return the matte of the frame, or that of the previous frame if nothing moved.

        Raises:
            EngineError: the engine failed.
        """
        luma = np.asarray(cv2.blur(pyramid.low.y, (5, 5)), np.uint8)
        held, self._matte = self._matte, None
        if held is not None and self._luma is not None and _is_still(luma, self._luma):
            return held
        matte = self._engine.matte(frame, pyramid)
        self._matte, self._luma = matte, luma
        return matte


def _is_still(luma: Plane, other: Plane) -> bool:
    if luma.shape != other.shape:
        return False
    _, moved = cv2.threshold(cv2.absdiff(luma, other), NOISE_LEVELS, 1, cv2.THRESH_BINARY)
    return cv2.countNonZero(moved) <= _MOVED_SHARE * luma.size
