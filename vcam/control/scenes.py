"""Backgrounds that vcam draws itself, which need no download and no
licence.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE = (1280, 720)
Picture = NDArray[np.uint8]
"""uint8 [H, W, 3] RGB."""
_Float = NDArray[np.float32]
_Color = tuple[int, int, int]


def draw_scene(name: str) -> Picture:
    """Draw one of SCENES, uint8 [720, 1280, 3] RGB; always the same."""
    picture = SCENES[name][1]()
    noise = np.random.default_rng(1).normal(0, 1.2, picture.shape[:2]).astype(np.float32)
    return np.asarray(
        np.clip(picture + noise[..., None], 0, 255), np.uint8
    )  # dithering against banding in gradients


def _grid() -> tuple[_Float, _Float]:
    """X and y of each pixel, 0..1, float32 [H, W]."""
    width, height = SIZE
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return x.astype(np.float32), y.astype(np.float32)


def _mixed(share: _Float, *colors: _Color) -> _Float:
    """Interpolate colours along 0..1, float32 [H, W, 3]."""
    stops = np.linspace(0, 1, len(colors))
    planes = [np.interp(share, stops, [color[i] for color in colors]) for i in range(3)]
    return np.stack(planes, axis=-1).astype(np.float32)


def _studio() -> _Float:
    x, y = _grid()
    far = np.hypot((x - 0.5) * 1.5, y - 0.42)
    return _mixed(np.clip(far * 1.15, 0, 1), (214, 219, 226), (120, 129, 142), (44, 50, 60))


def _dusk() -> _Float:
    x, y = _grid()
    waves = 0.05 * np.sin(5 * x + 2) + 0.03 * np.sin(11 * x)
    sky = _mixed(
        np.clip(y + waves * 0.6, 0, 1),
        (38, 32, 82),
        (122, 62, 122),
        (236, 132, 98),
        (252, 202, 140),
    )
    sun = np.exp(-(((x - 0.72) * 1.78) ** 2 + (y - 0.74) ** 2) / 0.03)[..., None]
    return np.asarray(sky + sun * np.array((40, 42, 30), np.float32), np.float32)


def _lights(base: tuple[_Color, ...], spots: tuple[_Color, ...], seed: int) -> _Float:
    x, y = _grid()
    picture = _mixed(np.clip(y * 0.9 + 0.1 * x, 0, 1), *base)
    rng = np.random.default_rng(seed)
    width, height = SIZE
    for _ in range(46):
        x_px, y_px = int(rng.uniform(0, width)), int(rng.normal(0.42, 0.22) * height)
        radius = int(rng.uniform(15, 64))
        reach = radius + 10
        disc = np.zeros((2 * reach + 1, 2 * reach + 1), np.uint8)
        cv2.circle(disc, (reach, reach), radius, 255, -1, cv2.LINE_AA)
        cv2.circle(disc, (reach, reach), radius, 190, 3, cv2.LINE_AA)
        soft = cv2.GaussianBlur(disc, (0, 0), 2.2).astype(np.float32) / 255
        color = np.array(spots[rng.integers(len(spots))], np.float32)
        share = float(rng.uniform(0.12, 0.5))
        top, left = y_px - reach, x_px - reach
        part = picture[max(0, top) : top + len(disc), max(0, left) : left + len(disc)]
        if part.size:
            inside = soft[max(0, -top) :, max(0, -left) :][: part.shape[0], : part.shape[1], None]
            part += inside * (color - part) * share
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 2.7), np.float32)


def _evening() -> _Float:
    warm = ((255, 196, 120), (255, 150, 90), (255, 226, 180), (150, 170, 255))
    return _lights(((16, 20, 38), (34, 34, 58), (24, 18, 30)), warm, 7)


def _garden() -> _Float:
    green = ((214, 236, 150), (150, 205, 120), (250, 250, 210), (90, 160, 90))
    return _lights(((150, 190, 130), (78, 130, 78), (34, 66, 42)), green, 4)


def _paper() -> _Float:
    x, y = _grid()
    picture = _mixed(np.clip(0.6 * x + 0.4 * y, 0, 1), (247, 243, 236), (232, 225, 214))
    grain = np.random.default_rng(3).normal(0, 9, SIZE[::-1]).astype(np.float32)
    return np.asarray(picture + cv2.GaussianBlur(grain, (0, 0), 1.4)[..., None], np.float32)


def _aurora() -> _Float:
    x, y = _grid()
    picture = _mixed(y, (8, 18, 44), (14, 42, 70), (10, 24, 40))
    for shift, color, width in (
        (0.0, (40, 220, 170), 0.10),
        (1.3, (70, 140, 255), 0.13),
        (2.4, (160, 90, 240), 0.09),
    ):
        line = 0.38 + 0.12 * np.sin(3.1 * x + shift) + 0.05 * np.sin(9 * x + 2 * shift)
        glow = np.exp(-(((y - line) / width) ** 2))[..., None] * 0.62
        picture = picture + glow * (np.array(color, np.float32) - picture)
    return np.asarray(picture, np.float32)


SCENES: dict[str, tuple[str, Callable[[], _Float]]] = {
    "studio": ("Studio", _studio),
    "dusk": ("Dusk", _dusk),
    "evening": ("Evening", _evening),
    "garden": ("Garden", _garden),
    "paper": ("Paper", _paper),
    "aurora": ("Aurora", _aurora),
}
"""name -> (label, drawing)."""
