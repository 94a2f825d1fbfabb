"""Labels softened by teachers: hard masks say who is a person, teachers say where the outline is.

Hand-drawn polygons are a few pixels off, so a network that is held to them draws outlines worse
than it could. In a band along the outline, and where a mask says nothing, the mean of the teachers'
mattes takes the place of the label; elsewhere a share of it is mixed in if it agrees, so that what
published weights know is not forgotten (distillation: Hinton, Vinyals, Dean, arXiv 1503.02531).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from export.data.image import Image, u8
from export.data.items import Labelled

_SHARE = 0.3
"""Of the teachers' matte in a label that agrees with it."""
_AREA_PX = 192 * 320
"""About how many pixels a teacher sees of a picture, whose shape is kept."""
_FAR = 0.6
"""How far a teacher may be off the blurred label in the band before neither counts."""
_LEAST_IOU = 0.7
"""A teacher that agrees less with the known part of a mask has nothing to say where the mask is
silent.
"""

Teach = Callable[[Image], NDArray[np.float32]]
"""A matte float32 [H, W] 0..1 of a picture uint8 [H, W, 3] RGB."""


def matte_of(teachers: Sequence[Teach], image: Image) -> NDArray[np.float32]:
    """The mean of the teachers' mattes of a picture and of its mirror image: float32 [H, W]
    0..1.
    """
    mattes = [teach(image) for teach in teachers]
    mattes += [teach(np.ascontiguousarray(image[:, ::-1]))[:, ::-1] for teach in teachers]
    return np.asarray(np.mean(mattes, axis=0), np.float32)


def softened(item: Labelled, matte: NDArray[np.float32], band_px: int) -> Labelled:
    """The picture with its label and a teacher's matte in one soft label; `band_px` (odd): width of
    the outline band.

    Pixels that neither is trusted with stay to be ignored.
    """
    label = item.alpha.astype(np.float32) / 255
    known = item.valid > 0
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (band_px, band_px))
    sure = u8((item.alpha > 127) & known) * 255
    band = (cv2.dilate(sure, kernel) != cv2.erode(sure, kernel)) & known
    blurred = cv2.blur(label, (band_px, band_px))
    either = (((label > 0.5) | (matte > 0.5)) & known).sum()
    both = ((label > 0.5) & (matte > 0.5) & known).sum()
    speaks = both >= _LEAST_IOU * either
    agrees = np.abs(matte - label) < 0.5
    target = np.where(agrees, (1 - _SHARE) * label + _SHARE * matte, label)
    target = np.where(band | ~known, matte, target)
    counts = np.where(band, np.abs(matte - blurred) < _FAR, known | speaks)
    return replace(item, alpha=u8(np.rint(np.where(counts, target, 0) * 255)), valid=u8(counts))


def teach_at(
    alpha: Callable[[torch.Tensor], torch.Tensor], image: Image, step: int = 32
) -> NDArray[np.float32]:
    """A teacher's matte at the picture's size; it sees the picture's shape with sides that are
    multiples of `step`.
    """
    height, width = image.shape[:2]
    scale = (_AREA_PX / (height * width)) ** 0.5
    sides = [max(step, round(x * scale / step) * step) for x in (height, width)]
    small = cv2.resize(image, (sides[1], sides[0]), interpolation=cv2.INTER_AREA)
    matte = alpha(torch.from_numpy(small)[None])[0].numpy()
    return np.clip(cv2.resize(matte, (width, height), interpolation=cv2.INTER_LINEAR), 0, 1).astype(
        np.float32
    )
