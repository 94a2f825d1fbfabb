"""Pictures whose colours a test can recognise after any sink."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vcam.colour import from_rgb, ycbcr_of
from vcam.frame import Frame, Matrix, Plane, Size
from vcam.sinks import Sink

QUADRANTS = ((200, 30, 40), (30, 180, 60), (40, 50, 210), (230, 220, 90))
"""RGB, full range: top left, top right, bottom left, bottom right."""

ALPHAS = (255, 0, 128, 255)
"""The alpha of the same quadrants."""


def quadrants(
    size: Size = (64, 48),
    matrix: Matrix = Matrix.BT601,
    *,
    alpha: bool = False,
    pts_ns: int = 0,
    index: int = 0,
) -> Frame:
    """A frame of four colours, `QUADRANTS`; with alpha `ALPHAS` where asked."""
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    mask = np.zeros((height, width), np.uint8)
    for part, colour, opacity in zip(_parts(size), QUADRANTS, ALPHAS, strict=True):
        image[part] = colour
        mask[part] = opacity
    return replace(
        from_rgb(image, matrix, index=index), alpha=mask if alpha else None, pts_ns=pts_ns
    )


def send_noise(sink: Sink, frames: int) -> None:
    """Send frames that fill a disk fast."""
    for seed in range(frames):
        sink.send(noise((320, 240), seed))


def send_and_fail(sink: Sink, *frames: Frame) -> None:
    """Send some frames, and then let something else go wrong while the sink is open.

    Raises:
        ZeroDivisionError: always.
    """
    with sink:
        for frame in frames:
            sink.send(frame)
        _ = 1 // 0


def noise(size: Size, seed: int) -> Frame:
    """A frame that no encoder can make small."""
    width, height = size
    data = np.random.default_rng(seed).integers(16, 236, (height * 3 // 2, width), np.uint8)
    return Frame(data, Matrix.BT709)


def _parts(size: Size) -> list[tuple[slice, slice]]:
    width, height = size
    rows = (slice(0, height // 2), slice(height // 2, height))
    columns = (slice(0, width // 2), slice(width // 2, width))
    return [(row, column) for row in rows for column in columns]


def centres(plane: Plane) -> list[int]:
    """The values in the middle of the four quadrants of uint8 [H, W]."""
    height, width = plane.shape
    rows, columns = (height // 4, height * 3 // 4), (width // 4, width * 3 // 4)
    return [int(plane[row, column]) for row in rows for column in columns]


def expected(matrix: Matrix) -> list[list[int]]:
    """The luma, Cb and Cr values of `QUADRANTS`."""
    return [
        list(values)
        for values in zip(*(ycbcr_of(colour, matrix) for colour in QUADRANTS), strict=True)
    ]
