"""Things in front of a face, made up while training: random shapes with the colours of some other
picture.

After the random occluders of Voo, Jiang and Loy (CVPR Workshops 2022), which fill random shapes
with textures.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from export.data.image import Image
from export.data.items import LabelledFace

_CORNERS = 12
_FACE = 2
_BACKGROUND = 0


def occlude(face: LabelledFace, texture: Image, rng: np.random.Generator) -> LabelledFace:
    """Cover a part of the face by one shape: what it covers is background. The face itself is left
    as it is.

    The shape: a rounded polygon of 12 corners at random distances (normal, 35 % apart) around a
    point of the face, its radius 8 to 28 % of the face's height, its edge about 1 pixel in 200
    wide. texture: uint8 [H, W, 3] RGB, any size.
    """
    rows, columns = np.nonzero(face.label >= _FACE)
    if not rows.size:
        return face
    at = int(rng.integers(rows.size))
    radius = rng.uniform(0.08, 0.28) * (int(rows.max()) + 1 - int(rows.min()))
    cover = _shape(face.label.shape[:2], (float(columns[at]), float(rows[at])), radius, rng)
    weight = cover.astype(np.float32)[..., None] / 255
    colour = _window(texture, face.label.shape[:2], rng)
    image = np.rint(colour * weight + face.image * (1 - weight)).astype(np.uint8)
    hidden = cover >= 128
    label = np.where(hidden, _BACKGROUND, face.label).astype(np.uint8)
    return replace(
        face, image=image, label=label, valid=np.where(hidden, 1, face.valid).astype(np.uint8)
    )


def _shape(
    size: tuple[int, int], centre: tuple[float, float], radius: float, rng: np.random.Generator
) -> Image:
    """uint8 [H, W], 255 inside."""
    angles = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False) + rng.uniform(0, 2 * np.pi)
    far = radius * np.clip(rng.normal(1, 0.35, _CORNERS), 0.3, 1.8)
    smooth = (far + np.roll(far, 1) + np.roll(far, -1)) / 3
    corners = np.stack([np.cos(angles), np.sin(angles)], 1) * smooth[:, None] + centre
    plane = np.zeros(size, np.uint8)
    cv2.fillPoly(plane, [np.rint(corners).astype(np.int32)], 255)
    soft = max(0.5, radius / 12)
    rounded = (cv2.GaussianBlur(plane, (0, 0), soft) >= 128).astype(np.uint8) * 255
    return np.asarray(cv2.GaussianBlur(rounded, (0, 0), max(0.5, max(size) / 400)), np.uint8)


def _window(texture: Image, size: tuple[int, int], rng: np.random.Generator) -> Image:
    """A random part of a picture, stretched to `size`."""
    height, width = texture.shape[:2]
    share = rng.uniform(0.2, 1.0)
    rows, columns = max(1, int(height * share)), max(1, int(width * share))
    top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
    part = texture[top : top + rows, left : left + columns]
    return np.asarray(cv2.resize(part, size[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
