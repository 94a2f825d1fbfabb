"""Effects that replace the room: blur, color, image, remove, none."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam.colour import from_rgb, ycbcr_of
from vcam.effects.base import Scene, Stateless, copy_pixels
from vcam.effects.blend import blend_person
from vcam.effects.blur import blur_room, sigma_px
from vcam.frame import Frame, Matrix, Size

_SURE_ALPHA = 26
"""In transparent output, colours are kept if the person covers at least a tenth of
the pixel.
"""


class NoEffect(Stateless):
    """Shows the real room; only if the user names the effect."""

    about_room = True

    needs_matte = False

    def apply(self, scene: Scene) -> Frame:
        return scene.frame


class Blur(Stateless):
    """Blurs the room. strength 0..1, from "recognisable" to "shapes and light"."""

    about_room = True
    hands_over = True

    def __init__(self, strength: float) -> None:
        self._strength = strength

    def apply(self, scene: Scene) -> Frame:
        out = scene.new_frame()
        blur_room(scene.low, scene.mask, sigma_px(self._strength, scene.frame.size[1]), out)
        blend_person(scene.frame, scene.mask, out)
        return out


class Color(Stateless):
    """Replaces the room by one colour, (R, G, B) 0..255."""

    about_room = True
    hands_over = True

    def __init__(self, color: tuple[int, int, int]) -> None:
        self._color = color

    def apply(self, scene: Scene) -> Frame:
        out = scene.new_frame()
        _fill(out, self._color)
        blend_person(scene.frame, scene.mask, out)
        return out


class Remove(Color):
    """Removes the room: transparent if the sink supports it, else a key colour."""

    def apply(self, scene: Scene) -> Frame:
        if not scene.transparent:
            return super().apply(scene)
        frame, mask = scene.frame, scene.mask
        alpha = mask.full(frame.size)
        alpha[alpha < _SURE_ALPHA] = 0
        out = Frame(
            np.empty_like(frame.data),
            frame.matrix,
            frame.t_capture_ns,
            frame.index,
            alpha,
            frame.pts_ns,
        )
        _fill(out, self._color)
        small = cv2.resize(
            alpha, (alpha.shape[1] // 2, alpha.shape[0] // 2), interpolation=cv2.INTER_AREA
        )
        for source, target, shown in zip(
            frame.planes, out.planes, (alpha, small, small), strict=True
        ):
            cv2.copyTo(source, shown, target)
        return out


class Image:
    """Replaces the room by a picture, cropped to the frame's aspect ratio. `path`: its file."""

    about_room = True
    hands_over = True
    needs_matte = True
    needs_face = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self._picture: NDArray[np.uint8] | None = None
        self._room: Frame | None = None

    def __enter__(self) -> Self:
        from vcam.sources.image import read_image

        self._picture = read_image(self.path)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._picture = self._room = None

    def apply(self, scene: Scene) -> Frame:
        out = scene.new_frame()
        copy_pixels(self._fitted(scene.frame.size, scene.frame.matrix), out)
        blend_person(scene.frame, scene.mask, out)
        return out

    def _fitted(self, size: Size, matrix: Matrix) -> Frame:
        if self._room is None or self._room.size != size:
            assert self._picture is not None, "an effect is applied inside its context only"
            self._room = from_rgb(_cover(self._picture, size), matrix)
        return self._room


def _fill(frame: Frame, color: tuple[int, int, int]) -> None:
    for plane, value in zip(frame.planes, ycbcr_of(color, frame.matrix), strict=True):
        plane[:] = value


def _cover(picture: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """Crop uint8 [h, w, 3] around the centre to the aspect ratio of `size`, then scale to it."""
    height, width = picture.shape[:2]
    scale = max(size[0] / width, size[1] / height)
    crop_w, crop_h = (
        min(width, max(1, round(size[0] / scale))),
        min(height, max(1, round(size[1] / scale))),
    )
    left, top = (width - crop_w) // 2, (height - crop_h) // 2
    cropped = picture[top : top + crop_h, left : left + crop_w]
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(cropped, size, interpolation=method), np.uint8)
