"""Pictures with their labels, as readers give them and as training sees them."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from export.data.image import Image
from export.data.notes import Notes

LONGEST_PX = 448
"""Of the pictures of people that training keeps in memory."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A picture with its label, all of one size.

    image: uint8 [H, W, 3] RGB. alpha: uint8 [H, W], 0 room .. 255 person, zeros without people.
    valid: uint8 [H, W], 1 counts, 0 is to be ignored.
    """

    name: str
    image: Image
    alpha: Image
    valid: Image

    @property
    def is_room(self) -> bool:
        """Whether no one is in it, for certain."""
        return not self.alpha.any() and bool(self.valid.all())


@dataclass(frozen=True, slots=True)
class LabelledFace:
    """A picture with the classes of a face, all of one size.

    image: uint8 [H, W, 3] RGB. label: uint8 [H, W], numbers into `V1_CLASSES`. valid: uint8 [H, W],
    1 counts, 0 is to be ignored. notes: what the set says of the picture.
    """

    name: str
    image: Image
    label: Image
    valid: Image
    notes: Notes = field(default_factory=Notes)


@dataclass(frozen=True, slots=True)
class Sample:
    """What the loss needs: image uint8 [H, W, 3] RGB, target uint8 [H, W], valid uint8 [H, W].

    target: of a person network alpha 0..255, of a face network the numbers of classes. valid: 0 is
    to be ignored. clean: the image before light, blur and compression spoilt it.
    """

    image: Image
    target: Image
    valid: Image
    clean: Image


def shrunk(item: Labelled, longest_px: int = LONGEST_PX) -> Labelled:
    """The same, its longest side at most `longest_px`."""
    scale = longest_px / max(item.alpha.shape)
    if scale >= 1:
        return item
    size = (round(item.alpha.shape[1] * scale), round(item.alpha.shape[0] * scale))
    planes = (item.image, item.alpha, item.valid)
    shrink = (cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in planes)
    return Labelled(item.name, *(np.asarray(x, np.uint8) for x in shrink))
