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
    (luma, *chroma), (out_luma, *out_chroma) = person.planes, out.planes
    for box in mask.inside:
        np.copyto(box.of(out_luma), box.of(luma))
        for source, target in zip(chroma, out_chroma, strict=True):
            np.copyto(box.of_chroma(target), box.of_chroma(source))
    mask.person.copy(person.y, out.y)
    mask.person.of_both_chroma(rows).copy(person.chroma, out.chroma)
    if not len(mask.edge):
        return
    count, height, width = mask.alpha.shape
    alpha = mask.alpha.reshape(count * height, width)
    _blend(person.y, out.y, alpha, mask.edge)
    half = np.asarray(
        cv2.resize(alpha, (width // 2, count * height // 2), interpolation=cv2.INTER_AREA), np.uint8
    )
    _blend(
        person.chroma,
        out.chroma,
        np.concatenate((half, half)),
        mask.edge.of_both_chroma(rows),
    )


def _blend(front: Plane, back: Plane, alpha: Plane, tiles: Tiles) -> None:
    """Blend into `back` in these tiles; alpha is uint8 [n * height, width].

    Exact where alpha is 0 or 255, else within one level (two roundings).
    """
    shown = cv2.multiply(tiles.of(front).reshape(alpha.shape), alpha, scale=1 / 255)
    hidden = cv2.multiply(
        tiles.of(back).reshape(alpha.shape), cv2.bitwise_not(alpha), scale=1 / 255
    )
    blended = np.asarray(cv2.add(shown, hidden), np.uint8)
    tiles.put(back, blended.reshape(-1, tiles.height, tiles.width))
