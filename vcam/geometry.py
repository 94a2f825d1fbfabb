"""Rectangles of a frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from vcam.frame import Plane


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of pixels, [top, bottom) x [left, right); in I420 frames all edges are even."""

    top: int
    bottom: int
    left: int
    right: int

    @classmethod
    def at(cls, x: int, y: int, width: int, height: int) -> Box:
        """The rectangle of this size whose upper left pixel is (x, y)."""
        return cls(y, y + height, x, x + width)

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @property
    def area(self) -> int:
        """Pixels inside."""
        return max(0, self.height) * max(0, self.width)

    def of(self, plane: NDArray[Any]) -> NDArray[Any]:
        """The view of a full-resolution plane."""
        return plane[self.top : self.bottom, self.left : self.right]

    def of_chroma(self, plane: Plane) -> Plane:
        """The view of a chroma plane of half the resolution."""
        return plane[self.top // 2 : self.bottom // 2, self.left // 2 : self.right // 2]

    def enlarged(self, factor: int) -> Box:
        """The same rectangle in a plane that is `factor` times as large."""
        return Box(*(edge * factor for edge in (self.top, self.bottom, self.left, self.right)))
