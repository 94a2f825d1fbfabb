"""What all face effects have in common."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace

from vcam.effects.base import Scene, Stateless, copy_pixels
from vcam.frame import FaceRegions, Frame

_RAMP_S = 0.3
"""A change of strength by one takes this long."""


class FaceEffect(Stateless):
    """Changes every face that is seen; the rest of the picture stays the very same bytes.

    Args:
        strength: 0..1.

    Attributes:
        strength: may be set while running; the picture follows within 0.3 s.
    """

    needs_matte = False
    needs_face = True

    def __init__(self, strength: float) -> None:
        self.strength = strength
        self._shown = strength
        self._time_ns: int | None = None

    def apply(self, scene: Scene) -> Frame:
        shown = self._ramped(scene.time_ns)
        weights = [shown * face.presence for face in scene.faces]
        if not any(weights):
            return scene.frame
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
            face: where its parts are in `out`.
            strength: 0..1, with the face's presence in it.
            out: the picture so far, which is changed only where the face's classes are.
        """

    def _ramped(self, time_ns: int) -> float:
        elapsed_s = 0.0 if self._time_ns is None else max(0, time_ns - self._time_ns) / 1e9
        self._time_ns = time_ns
        step = elapsed_s / _RAMP_S
        self._shown += min(max(self.strength - self._shown, -step), step)
        return self._shown
