"""Random changes of light, colour, sharpness and compression, as cheap webcams make them.

Every function takes and returns uint8 [H, W, 3] RGB; the generator is the caller's, so that a seed
repeats a run.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from export.data.image import Image, u8


def light(image: Image, rng: np.random.Generator) -> Image:
    """Exposure, contrast, gamma and white balance through one lookup table per channel."""
    levels = np.arange(256, dtype=np.float32) / 255
    gain = np.exp(rng.normal(0, 0.25))
    contrast = np.exp(rng.normal(0, 0.2))
    gamma = np.exp(rng.normal(0, 0.25))
    balance = np.exp(rng.normal(0, 0.06, 3))
    curves = [
        np.clip((levels**gamma * gain * b - 0.5) * contrast + 0.5, 0, 1) * 255 for b in balance
    ]
    table = np.stack(curves, axis=-1).astype(np.uint8)[None]
    return u8(cv2.LUT(image, table))


def lamp(image: Image, rng: np.random.Generator) -> Image:
    """A soft gradient of brightness: a window or a screen to one side."""
    height, width = image.shape[:2]
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.7)
    ramp_x = np.linspace(-1, 1, width, dtype=np.float32) * np.cos(angle)
    ramp_y = np.linspace(-1, 1, height, dtype=np.float32) * np.sin(angle)
    gain = 1 + strength * (ramp_x[None, :] + ramp_y[:, None])
    return u8(np.clip(image * gain[..., None], 0, 255))


def saturation(image: Image, rng: np.random.Generator) -> Image:
    """From grey to garish; one picture in thirty loses all colour."""
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    keep = 0.0 if rng.random() < 1 / 30 else float(np.exp(rng.normal(0, 0.3)))
    return u8(cv2.addWeighted(image, keep, grey, 1 - keep, 0))


def soften(image: Image, rng: np.random.Generator) -> Image:
    """Out of focus, moved, or enlarged from fewer pixels."""
    kind = rng.integers(3)
    if kind == 0:
        return u8(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.6)))
    if kind == 1:
        length = int(rng.integers(3, 8))
        kernel = np.zeros((length, length), np.float32)
        cv2.line(
            kernel, (0, int(rng.integers(length))), (length - 1, int(rng.integers(length))), 1.0
        )
        return u8(cv2.filter2D(image, -1, kernel / kernel.sum()))
    height, width = image.shape[:2]
    scale = rng.uniform(0.4, 0.9)
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return u8(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


def dark_and_noisy(image: Image, rng: np.random.Generator) -> Image:
    """Low light: fewer photons, hence noise, a part of it in blotches as denoisers leave it."""
    dim = rng.uniform(0.25, 0.8)
    fine = rng.normal(0, rng.uniform(2, 12), image.shape).astype(np.float32)
    blotch = rng.normal(0, rng.uniform(1, 8), (image.shape[0] // 4, image.shape[1] // 4, 3)).astype(
        np.float32
    )
    coarse = cv2.resize(blotch, (image.shape[1], image.shape[0]))
    return u8(np.clip(image * dim + fine + coarse, 0, 255))


def grain(image: Image, rng: np.random.Generator) -> Image:
    noise = rng.normal(0, rng.uniform(1, 7), image.shape).astype(np.float32)
    return u8(np.clip(image + noise, 0, 255))


def compress(image: Image, rng: np.random.Generator) -> Image:
    quality = int(rng.integers(25, 90))
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return u8(cv2.imdecode(data, cv2.IMREAD_COLOR))


_STEPS: tuple[tuple[float, Any], ...] = (
    (0.8, light),
    (0.2, lamp),
    (0.5, saturation),
    (0.3, soften),
    (0.1, dark_and_noisy),
    (0.2, grain),
    (0.3, compress),
)


def photometric(image: Image, rng: np.random.Generator, often: float = 1.0) -> Image:
    """Each step by its probability times `often`, in the order light takes through a camera."""
    for probability, step in _STEPS:
        if rng.random() < probability * often:
            image = step(image, rng)
    return image
