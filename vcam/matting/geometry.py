"""Rectangles of a frame."""

from __future__ import annotations

from dataclasses import dataclass

from vcam.frame import Plane


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of pixels, all edges even: [top, bottom) x [left, right)."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def area(self) -> int:
        """Pixels inside."""
        return max(0, self.bottom - self.top) * max(0, self.right - self.left)

    def of(self, plane: Plane) -> Plane:
        """The view of a full-resolution plane."""
        return plane[self.top : self.bottom, self.left : self.right]

    def of_chroma(self, plane: Plane) -> Plane:
        """The view of a chroma plane of half the resolution."""
        return plane[self.top // 2 : self.bottom // 2, self.left // 2 : self.right // 2]

    def enlarged(self, factor: int) -> Box:
        """The same rectangle in a plane that is `factor` times as large."""
        return Box(*(edge * factor for edge in (self.top, self.bottom, self.left, self.right)))
