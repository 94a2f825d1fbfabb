"""The matte of the frame before, made up from the true one: what a network that remembers learns
from.
"""

from __future__ import annotations

import cv2
import numpy as np

from export.data.augment import soften
from export.data.geometry import affine, warp
from export.data.image import Image, u8
from export.data.people import choose

SHARES = {"none": 0.3, "before": 0.5, "wrong": 0.2}
"""How often the sample is a first frame; how often the matte is that of a frame before; how often
of another scene.
"""
_SHIFT, _TURN_DEGREES, _SCALE = 0.02, 1.5, 0.02
_OFTEN_BLOTCH = 0.4


def previous(alpha: Image, rng: np.random.Generator) -> Image:
    """What a network may have answered to the frame before: uint8 [H, W], new. alpha: uint8 [H, W],
    the truth now.

    Nothing, for a first frame; the truth, moved a little, softer, at times with a blotch of room or
    person that is not there; or a matte that is wrong altogether (mirrored and far off), which must
    not be believed.
    """
    height, width = alpha.shape
    kind = choose(SHARES, rng)
    if kind == "none":
        return np.zeros_like(alpha)
    far = 12.0 if kind == "wrong" else 1.0
    shift = rng.normal(0, _SHIFT * far, 2) * (width, height)
    scale = float(np.exp(rng.normal(0, _SCALE * far)))
    middle = (width / 2, height / 2)
    target = (middle[0] + float(shift[0]), middle[1] + float(shift[1]))
    turn = float(rng.normal(0, _TURN_DEGREES))
    matrix = affine(
        middle, target, (scale, scale), turn, flip=kind == "wrong" and bool(rng.random() < 0.5)
    )
    matte = soften(warp(alpha, matrix, (height, width), cv2.BORDER_REPLICATE), rng)
    if rng.random() < _OFTEN_BLOTCH:
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes = tuple(int(x) for x in rng.uniform(0.03, 0.2, 2) * (width, height))
        matte = u8(
            cv2.ellipse(matte, centre, axes, 0, 0, 360, int(rng.choice((0, 255))), cv2.FILLED)
        )
    return matte
