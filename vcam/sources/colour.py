"""Change the YCbCr coefficients of a picture without a detour over RGB."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam.frame import Frame, Matrix


def change_matrix(frame: Frame, matrix: Matrix) -> Frame:
    """The same colours with other coefficients; a new frame, or `frame` itself where it has them
    already.

    Luma changes by a multiple of chroma only, because grey is grey in both; so the small planes
    carry the work.
    """
    if frame.matrix is matrix:
        return frame
    transform = _ycbcr_from_rgb(matrix) @ np.linalg.inv(_ycbcr_from_rgb(frame.matrix))
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


def _ycbcr_from_rgb(matrix: Matrix) -> NDArray[np.float64]:
    """float64 [3, 3]: rows Y, Cb, Cr in units of 1, 0.5 and 0.5 (BT.601-7 section 2.5.1, BT.709-6
    section 3).
    """
    k_r, k_g, k_b = matrix.luma
    luma = np.array([k_r, k_g, k_b])
    return np.stack(
        [luma, (np.eye(3)[2] - luma) / (2 * (1 - k_b)), (np.eye(3)[0] - luma) / (2 * (1 - k_r))]
    )
