"""Planes, and the conversions that tests and pictures use."""

from __future__ import annotations

import numpy as np
import pytest

from vcam.colour import from_rgb, to_rgb, ycbcr_of
from vcam.frame import Frame, Matrix


@pytest.mark.parametrize("matrix", list(Matrix))
def test_rgb_survives_the_way_there_and_back(matrix: Matrix) -> None:
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (8, 8, 3), np.uint8).repeat(16, axis=0).repeat(16, axis=1)
    back = to_rgb(from_rgb(blocks, matrix))
    inner = np.zeros(blocks.shape[:2], bool)
    for row in range(8):
        for column in range(8):
            inner[row * 16 + 4 : row * 16 + 12, column * 16 + 4 : column * 16 + 12] = True
    assert np.abs(back.astype(int) - blocks)[inner].max() <= 3


def test_reference_values_of_the_standards() -> None:
    """BT.601-7 and BT.709-6, 8 bit: white is 235, black 16, and red differs between the two."""
    assert ycbcr_of((255, 255, 255), Matrix.BT601) == (235, 128, 128)
    assert ycbcr_of((0, 0, 0), Matrix.BT709) == (16, 128, 128)
    assert ycbcr_of((255, 0, 0), Matrix.BT601) == (81, 90, 240)
    assert ycbcr_of((255, 0, 0), Matrix.BT709) == (63, 102, 240)


def test_planes_are_views_of_one_buffer() -> None:
    frame = Frame.empty((8, 4), Matrix.BT601)
    for value, plane in enumerate(frame.planes):
        plane[:] = value
    assert frame.data.reshape(-1).tolist() == [0] * 32 + [1] * 8 + [2] * 8
    assert frame.size == (8, 4)
    assert frame.u.shape == (2, 4)


@pytest.mark.parametrize("size", [(3, 2), (2, 3), (0, 2), (-2, 2)])
def test_odd_and_empty_sizes_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="even and positive"):
        Frame.empty(size, Matrix.BT601)
