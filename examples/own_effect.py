"""An effect of one's own: the room as large pixels.

    python examples/own_effect.py demo out.mp4 3

A package makes it known to `vcam run --effect pixelate:0.5` by this in its pyproject.toml:

    [project.entry-points."vcam.effects"]
    pixelate = "own_effect:PIXELATE"
"""

from __future__ import annotations

import sys

import cv2
import numpy as np

import vcam


class Pixelate(vcam.Stateless):
    """Large pixels instead of the room; the person stays as it is.

    Args:
        strength: 0..1; the side of a pixel is up to a tenth of the width.
    """

    about_room = True

    def __init__(self, strength: float) -> None:
        self._strength = strength

    def apply(self, scene: vcam.Scene) -> vcam.Frame:
        """Make every plane small and large again, then put the person back where the mask says."""
        frame = scene.frame
        out = vcam.Frame.empty(
            frame.size, frame.matrix, frame.t_capture_ns, frame.index, frame.pts_ns
        )
        mask = scene.mask.full(frame.size)
        count = max(2, round(frame.size[0] / (1 + self._strength * frame.size[0] / 10)))
        for plane, target in zip(frame.planes, out.planes, strict=True):
            height, width = plane.shape
            small = cv2.resize(
                plane, (count, max(2, count * height // width)), interpolation=cv2.INTER_AREA
            )
            room = cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)
            person = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA) / 255
            target[:] = np.rint(person * plane + (1 - person) * room).astype(np.uint8)
        return out


PIXELATE = vcam.EffectSpec(
    Pixelate,
    "Pixels",
    "the room as large pixels",
    (vcam.Param("strength", "number", "the size of a pixel", 0.5, least=0, most=1),),
    about_room=True,
)


def main(source: str, sink: str, seconds: str) -> None:
    """Register it here, as an entry point would, and use it by its name."""
    vcam.register_effect("pixelate", PIXELATE)
    with vcam.open_pipeline(
        source, sink, ["pixelate:0.4"], size=(640, 360), duration_s=float(seconds)
    ) as run:
        run.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
