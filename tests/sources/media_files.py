"""Pictures and files with known colours, made with plain arithmetic, for the tests of sources."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from vcam.colour import to_rgb
from vcam.frame import Frame, Matrix, Size

Picture = NDArray[np.uint8]

QUADRANTS = ((200, 40, 30), (30, 180, 60), (40, 60, 210), (128, 128, 128))
SPC = {Matrix.BT601: 6, Matrix.BT709: 1, None: 2}
LIMITED, FULL = 1, 2


def quadrants(size: Size, colours: Sequence[tuple[int, int, int]] = QUADRANTS) -> Picture:
    """uint8 [H, W, 3] RGB: top left, top right, bottom left, bottom right; the corners meet at even
    pixels.
    """
    width, height = size
    image = np.empty((height, width, 3), np.uint8)
    x, y = width // 4 * 2, height // 4 * 2
    image[:y, :x], image[:y, x:], image[y:, :x], image[y:, x:] = colours
    return image


def ycbcr(rgb: Picture, matrix: Matrix, full: bool, bits: int = 8) -> NDArray[np.float64]:
    """float64 [3, H, W]: code values by the formulas of BT.601 and BT.709."""
    k_r, k_g, k_b = (0.299, 0.587, 0.114) if matrix is Matrix.BT601 else (0.2126, 0.7152, 0.0722)
    red, green, blue = np.moveaxis(rgb / 255.0, 2, 0)
    luma = k_r * red + k_g * green + k_b * blue
    chroma = [(blue - luma) / (2 - 2 * k_b), (red - luma) / (2 - 2 * k_r)]
    if full:
        peak = 2**bits - 1
        codes = np.stack([luma * peak, *(part * peak + 2 ** (bits - 1) for part in chroma)])
    else:
        codes = np.stack([luma * 219 + 16, *(part * 224 + 128 for part in chroma)]) * 2 ** (
            bits - 8
        )
    return np.asarray(np.rint(codes).clip(0, 2**bits - 1), np.float64)


def picture(
    rgb: Picture, pix_fmt: str, matrix: Matrix, full: bool, tag: Matrix | None = None
) -> av.VideoFrame:
    """`rgb` in a pixel format; the colour tags are set, that of the matrix to `tag` or else
    `matrix`.
    """
    height, width = rgb.shape[:2]
    frame = av.VideoFrame(width, height, pix_fmt)
    for plane, rows in zip(frame.planes, _plane_rows(rgb, pix_fmt, matrix, full), strict=True):
        padded = np.zeros((plane.height, plane.line_size), np.uint8)
        raw = np.ascontiguousarray(rows).view(np.uint8).reshape(plane.height, -1)
        padded[:, : raw.shape[1]] = raw
        plane.update(padded.tobytes())
    frame.color_range = FULL if full else LIMITED
    frame.colorspace = 0 if pix_fmt in ("rgb24", "bgr0", "rgba") else SPC[tag or matrix]
    return frame


def _plane_rows(rgb: Picture, pix_fmt: str, matrix: Matrix, full: bool) -> list[NDArray[Any]]:
    one = np.zeros_like(rgb[..., :1])
    if pix_fmt in ("rgb24", "bgr0"):
        return [rgb if pix_fmt == "rgb24" else np.concatenate([rgb[..., ::-1], one], axis=2)]
    if pix_fmt == "yuv420p10le":
        y, u, v = ycbcr(rgb, matrix, full, bits=10).astype("<u2")
        return [y, u[::2, ::2], v[::2, ::2]]
    y, u, v = ycbcr(rgb, matrix, full).astype(np.uint8)
    if pix_fmt == "yuyv422":
        pairs = np.stack([y[:, ::2], u[:, ::2], y[:, 1::2], v[:, ::2]], axis=-1)
        return [pairs.reshape(len(y), -1)]
    return {
        "yuv420p": [y, u[::2, ::2], v[::2, ::2]],
        "yuvj420p": [y, u[::2, ::2], v[::2, ::2]],
        "yuv422p": [y, u[:, ::2], v[:, ::2]],
        "yuvj422p": [y, u[:, ::2], v[:, ::2]],
        "yuv444p": [y, u, v],
        "nv12": [y, np.stack([u[::2, ::2], v[::2, ::2]], axis=-1)],
        "gray": [y],
    }[pix_fmt]


def write_video(
    path: Path,
    pictures: Sequence[Picture | av.VideoFrame],
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    fps: int = 30,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Encode pictures; RGB ones are converted with BT.601 and not labelled."""
    frames = [
        p if isinstance(p, av.VideoFrame) else av.VideoFrame.from_ndarray(p, format="rgb24")
        for p in pictures
    ]
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, pix_fmt
        stream.codec_context.color_range = frames[0].color_range
        stream.codec_context.colorspace = frames[0].colorspace or 2
        for index, frame in enumerate(frames):
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def counting(size: Size, count: int) -> list[Picture]:
    """Grey pictures whose brightness says which one they are: `brightness_index` reads it back."""
    return [np.full((size[1], size[0], 3), 40 + 4 * index, np.uint8) for index in range(count)]


def brightness_index(frame: Frame) -> int:
    return round((float(to_rgb(frame).mean()) - 40) / 4)


def corners(frame: Frame) -> list[tuple[int, ...]]:
    """The (R, G, B) in the middle of each quadrant."""
    image = to_rgb(frame)
    height, width = image.shape[:2]
    places = [(y, x) for y in (height // 4, height * 3 // 4) for x in (width // 4, width * 3 // 4)]
    return [tuple(int(value) for value in image[place]) for place in places]


def assert_quadrants(
    frame: Frame, expected: Sequence[tuple[int, int, int]] = QUADRANTS, within: int = 3
) -> None:
    found = corners(frame)
    difference = np.abs(np.array(found) - np.array(expected)).max()
    assert difference <= within, f"{found} instead of {list(expected)}"
