"""Where things are in a picture, and how they get somewhere else."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from export.data.image import Image


def warp(picture: Image, matrix: NDArray[np.float64], size: tuple[int, int], border: int) -> Image:
    """uint8 [H, W] or [H, W, 3] through an affine map (float64 [2, 3]) into `size` (height, width),
    no aliasing.
    """
    shrink = min(np.hypot(matrix[0, 0], matrix[0, 1]), np.hypot(matrix[1, 0], matrix[1, 1]))
    if shrink < 0.6:  # against aliasing: bilinear sampling alone would skip pixels
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.35 / float(shrink)), np.uint8)
    return np.asarray(
        cv2.warpAffine(picture, matrix, size[::-1], flags=cv2.INTER_LINEAR, borderMode=border),
        np.uint8,
    )


def affine(
    source: tuple[float, float],
    target: tuple[float, float],
    scale: tuple[float, float],
    degrees: float,
    flip: bool,
) -> NDArray[np.float64]:
    """The affine map that takes `source` (x, y) to `target`: mirrored, turned, then scaled per
    axis.
    """
    turn = np.deg2rad(degrees)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = np.diag(scale) @ rotation @ np.diag([-1.0 if flip else 1.0, 1.0])
    offset = np.array(target) - linear @ np.array(source)
    return np.hstack([linear, offset[:, None]])


def extent(alpha: Image) -> tuple[int, int, int, int]:
    """Rows and columns that the person covers: top, bottom, left, right; the whole picture where
    nobody is.
    """
    rows, columns = np.flatnonzero((alpha > 127).any(1)), np.flatnonzero((alpha > 127).any(0))
    if not rows.size:
        return 0, alpha.shape[0], 0, alpha.shape[1]
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
