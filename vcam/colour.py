"""Conversions between the colours of a `Frame` and RGB, and between the two YCbCr matrices.

Constants: ITU-R BT.601-7 section 2.5 and BT.709-6 section 3.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam.frame import Frame, Matrix


def to_rgb(frame: Frame) -> NDArray[np.uint8]:
    """Convert a whole frame to uint8 [H, W, 3] RGB, full range. Accurate but slow: for pictures and
    tests, not for the live path.
    """
    width, height = frame.size
    u, v = (
        cv2.resize(p, (width, height), interpolation=cv2.INTER_LINEAR) for p in (frame.u, frame.v)
    )
    luma = (frame.y.astype(np.float32) - 16) * (255 / 219)
    cb, cr = (np.asarray(p, np.float32) - 128 for p in (u, v))
    k_r, k_g, k_b = frame.matrix.luma
    red = luma + cr * (255 / 224 * 2 * (1 - k_r))
    blue = luma + cb * (255 / 224 * 2 * (1 - k_b))
    green = (luma - k_r * red - k_b * blue) / k_g
    rgb = np.clip(np.rint(np.stack([red, green, blue], axis=-1)), 0, 255)
    return np.asarray(rgb, np.uint8)


def from_rgb(
    image: NDArray[np.uint8], matrix: Matrix, t_capture_ns: int = 0, index: int = 0
) -> Frame:
    """Convert uint8 [H, W, 3] RGB, full range, H and W even, to a Frame; chroma is the mean of 2x2
    pixels.

    Raises:
        ValueError: width or height is odd.
    """
    height, width = image.shape[:2]
    frame = Frame.empty((width, height), matrix, t_capture_ns, index)
    k_r, k_g, k_b = matrix.luma
    red, green, blue = (image[..., i].astype(np.float32) for i in range(3))
    luma = k_r * red + k_g * green + k_b * blue
    frame.y[:] = np.rint(luma * (219 / 255) + 16).astype(np.uint8)
    half = (width // 2, height // 2)
    for plane, colour, weight in ((frame.u, blue, k_b), (frame.v, red, k_r)):
        chroma = (colour - luma) * (224 / 255 / (2 * (1 - weight))) + 128
        plane[:] = np.rint(cv2.resize(chroma, half, interpolation=cv2.INTER_AREA)).astype(np.uint8)
    return frame


def ycbcr_of(rgb: tuple[int, int, int], matrix: Matrix) -> tuple[int, int, int]:
    """The limited-range (Y, Cb, Cr) of one full-range (R, G, B) colour."""
    frame = from_rgb(np.full((2, 2, 3), rgb, np.uint8), matrix)
    return int(frame.y[0, 0]), int(frame.u[0, 0]), int(frame.v[0, 0])


def small_to_rgb(frame: Frame) -> NDArray[np.uint8]:
    """Convert a small frame to full-range RGB uint8 [H, W, 3], fast, without interpolating chroma.

    OpenCV converts BT.601 only, so the matrix of other frames is changed first.
    """
    data = change_matrix(frame, Matrix.BT601).data
    return np.asarray(cv2.cvtColor(data, cv2.COLOR_YUV2RGB_I420), np.uint8)


def change_matrix(frame: Frame, matrix: Matrix) -> Frame:
    """Convert a frame to another matrix; return `frame` itself if it already has it.

    Grey is the same in both matrices, so luma changes only by a multiple of chroma: most of the
    work is done on the small chroma planes.
    """
    if frame.matrix is matrix:
        return frame
    transform = _transform(frame.matrix, matrix)
    out = Frame.empty(frame.size, matrix, frame.t_capture_ns, frame.index, frame.pts_ns)
    luma_per_chroma = 219 / 224  # code steps of limited range, BT.601-7 section 2.5.3
    by_u, by_v = (float(weight) * luma_per_chroma for weight in transform[0, 1:])
    delta = cv2.addWeighted(frame.u, by_u, frame.v, by_v, -128 * (by_u + by_v), dtype=cv2.CV_16S)
    cv2.add(
        frame.y,
        cv2.resize(delta, frame.size, interpolation=cv2.INTER_LINEAR),
        dst=out.y,
        dtype=cv2.CV_8U,
    )
    for target, (from_u, from_v) in zip((out.u, out.v), transform[1:, 1:].tolist(), strict=True):
        cv2.addWeighted(frame.u, from_u, frame.v, from_v, 128 * (1 - from_u - from_v), dst=target)
    return out


@lru_cache
def _transform(old: Matrix, new: Matrix) -> NDArray[np.float64]:
    """float64 [3, 3] of (Y, Cb, Cr), in the units of `_ycbcr_from_rgb`."""
    return np.asarray(_ycbcr_from_rgb(new) @ np.linalg.inv(_ycbcr_from_rgb(old)))


def _ycbcr_from_rgb(matrix: Matrix) -> NDArray[np.float64]:
    """float64 [3, 3]: rows Y, Cb, Cr in units of 1, 0.5 and 0.5 (BT.601-7 section 2.5.1, BT.709-6
    section 3).
    """
    k_r, k_g, k_b = matrix.luma
    luma = np.array([k_r, k_g, k_b])
    return np.stack(
        [luma, (np.eye(3)[2] - luma) / (2 * (1 - k_b)), (np.eye(3)[0] - luma) / (2 * (1 - k_r))]
    )
