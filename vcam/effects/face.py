"""Base class of face effects."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace

from vcam.effects.base import Scene, Stateless, copy_pixels
from vcam.frame import FaceRegions, Frame

_RAMP_S = 0.3
"""Time in seconds for strength to change by one."""


class FaceEffect(Stateless):
    """Changes every visible face; all other pixels keep their exact values.

    Args:
        strength: 0..1.

    Attributes:
        strength: may be set while running; the picture follows within 0.3 s.
    """

    needs_matte = False
    needs_face = True
    hands_over = True

    def __init__(self, strength: float) -> None:
        self.strength = strength
        self._shown = strength
        self._time_ns: int | None = None

    def apply(self, scene: Scene) -> Frame:
        shown = self._ramped(scene.time_ns)
        weights = [shown * face.presence for face in scene.faces]
        if not any(weights):
            return scene.frame
        out = scene.frame
        if not scene.changeable:
            out = replace(scene.frame, data=scene.new_frame().data)
            copy_pixels(scene.frame, out)
        for face, weight in zip(scene.faces, weights, strict=True):
            if weight:
                self.change(face, weight, out)
        return out

    @abstractmethod
    def change(self, face: FaceRegions, strength: float, out: Frame) -> None:
        """Change one face in place.

        Args:
            face: its parts in the coordinates of `out`.
            strength: 0..1, already multiplied by the face's presence.
            out: the picture so far; may be changed only in the areas of the face's classes.
        """

    def _ramped(self, time_ns: int) -> float:
        elapsed_s = 0.0 if self._time_ns is None else max(0, time_ns - self._time_ns) / 1e9
        self._time_ns = time_ns
        step = elapsed_s / _RAMP_S
        self._shown += min(max(self.strength - self._shown, -step), step)
        return self._shown
