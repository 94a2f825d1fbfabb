"""Composite the person over a background."""

from __future__ import annotations

import cv2
import numpy as np

from vcam.frame import Frame, Plane
from vcam.matting.refine import Mask
from vcam.matting.tiles import Tiles


def blend_person(person: Frame, mask: Mask, out: Frame) -> None:
    """Composite the person over `out`: out = alpha * person + (1 - alpha) * out.

    Planes are blended separately. Pure person is copied, pure room is left unchanged.

    Args:
        person: the captured frame.
        mask: the mask of that frame.
        out: the new background, of the same size and matrix; changed in place.
    """
    rows = person.u.shape[0]
    (luma, chroma), (out_luma, out_chroma) = (
        (frame.y, frame.chroma.reshape(2, rows, -1)) for frame in (person, out)
    )
    for top, bottom, left, right in mask.inside.tolist():
        np.copyto(out_luma[top:bottom, left:right], luma[top:bottom, left:right])
    for top, bottom, left, right in (mask.inside // 2).tolist():
        np.copyto(out_chroma[:, top:bottom, left:right], chroma[:, top:bottom, left:right])
    if not len(mask.edge):
        return
    _blend(person.y, out.y, mask.alpha, mask.edge)
    height, width = mask.alpha.shape
    half = cv2.resize(mask.alpha, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    both = np.asarray(cv2.hconcat((half, half)), np.uint8)
    _blend(person.chroma, out.chroma, both, mask.edge.of_both_chroma(rows))


def _blend(front: Plane, back: Plane, alpha: Plane, tiles: Tiles) -> None:
    """Blend into `back`, in the tiles whose alpha, uint8 [height, n * width], is given.

    Exact where alpha is 0 or 255, else within one level (two roundings).
    """
    shown = cv2.multiply(tiles.of(front), alpha, scale=1 / 255)
    hidden = cv2.multiply(tiles.of(back), cv2.bitwise_not(alpha), scale=1 / 255)
    tiles.put(back, np.asarray(cv2.add(shown, hidden, dst=shown), np.uint8))
