"""Random changes of pictures as the authors of published networks state them.

Each function takes a picture with its label whole and gives one sample of the wanted size; the
generator is the caller's, so that a seed repeats a run. Numbers are theirs, from:

- EasyPortrait (Kvanchiani et al., arXiv 2304.13509): hukenovs/easyportrait@1b3d3e5 and branch
  EasyPortrait_v1, pipelines/local_configs.
- PortraitNet (Zhang et al., Computers & Graphics 80, 2019): dong-x16/PortraitNet@e08ccdb, data/.
- ExtremeC3Net (Park et al., arXiv 1908.03093) and SINet (Park et al., arXiv 1911.09099):
  clovaai/ext_portrait_segmentation@9bc1bad, data/; the same changes as PortraitNet's.
- CelebAMask-HQ without glasses: ashimatyuk/face_segmentation@cc47f43, train.py.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from export.data.geometry import affine
from export.data.image import Image, u8
from export.data.items import Sample

Plane = Callable[[Image, int, int], Image]
"""Moves a plane: itself, how to interpolate (cv2.INTER_...), and what lies beyond its edge."""

_GREY = 128
_MIRRORED = np.arange(256, dtype=np.uint8)
_MIRRORED[3:7] = (4, 3, 6, 5)
"""The class that each becomes in a mirrored picture, in EasyPortrait's nine classes."""


def stretched(
    image: Image, target: Image, valid: Image, size: tuple[int, int]
) -> tuple[Image, Image, Image]:
    """The three planes at `size` (height, width): colours bilinearly, labels the nearest."""
    modes = (cv2.INTER_LINEAR, cv2.INTER_NEAREST, cv2.INTER_NEAREST)
    first, second, third = (
        u8(cv2.resize(x, size[::-1], interpolation=mode))
        for x, mode in zip((image, target, valid), modes, strict=True)
    )
    return first, second, third


def _mirrored(sample: Sample, classes: bool) -> Sample:
    """Left for right; of classes, brows and eyes change sides, too."""
    planes = (sample.image, sample.target, sample.valid, sample.clean)
    image, target, valid, clean = (np.ascontiguousarray(x[:, ::-1]) for x in planes)
    return Sample(image, _MIRRORED[target] if classes else target, valid, clean)


def easyportrait(
    image: Image, target: Image, valid: Image, size: tuple[int, int], rng: np.random.Generator
) -> Sample:
    """Zeros at the right and at the bottom, which do not count, until it has the shape of `size`;
    shrunk to it; brightness, contrast, saturation and hue. It is never mirrored.
    """
    height, width = target.shape
    scale = min(size[0] / height, size[1] / width)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    beyond = (0, size[0] - inner[1], 0, size[1] - inner[0])
    fitted = [
        u8(cv2.copyMakeBorder(x, *beyond, cv2.BORDER_CONSTANT, value=0))
        for x in stretched(image, target, valid, inner[::-1])
    ]
    return Sample(_photometric(fitted[0], rng), fitted[1], fitted[2], fitted[0])


def _photometric(image: Image, rng: np.random.Generator) -> Image:
    """Each with probability 1/2: brightness by up to 16 levels, contrast times 0.5 to 1 before or
    after saturation times 0.5 to 1 and hue by up to 9 of 180 degrees (as in SSD, arXiv 1512.02325).
    """
    x = image.astype(np.float32)

    def often() -> bool:
        return bool(rng.random() < 0.5)

    if often():
        x = np.clip(x + rng.uniform(-16, 16), 0, 255)
    first = often()
    if first and often():
        x = x * rng.uniform(0.5, 1.0)
    hsv = cv2.cvtColor(u8(np.clip(x, 0, 255)), cv2.COLOR_RGB2HSV).astype(np.float32)
    if often():
        hsv[..., 1] *= rng.uniform(0.5, 1.0)
    if often():
        hsv[..., 0] = (hsv[..., 0] + rng.integers(-9, 10)) % 180
    x = cv2.cvtColor(u8(hsv), cv2.COLOR_HSV2RGB).astype(np.float32)
    if not first and often():
        x = x * rng.uniform(0.5, 1.0)
    return u8(np.clip(x, 0, 255))


def portrait(
    image: Image, target: Image, valid: Image, size: tuple[int, int], rng: np.random.Generator
) -> Sample:
    """PortraitNet's and SINet's: turned by up to 45 degrees, 0.5 to 1.5 times the size at which it
    fills the frame, moved by up to a quarter, grey beyond its edge, mirrored or not; then texture.
    """
    height, width = target.shape
    scale = float(rng.uniform(0.5, 1.5)) * (size[0] / height + size[1] / width) / 2
    shift = rng.uniform(-0.25, 0.25, 2) * size[0]
    centre = (size[1] / 2 + float(shift[0]), size[0] / 2 + float(shift[1]))
    degrees = float(rng.uniform(-45, 45))
    matrix = affine((width / 2, height / 2), centre, (scale, scale), degrees, flip=False)
    sample = _moved(
        image, target, valid, lambda x, mode, value: _warped(x, matrix, size, mode, value)
    )
    if rng.random() < 0.5:
        sample = _mirrored(sample, classes=False)
    return Sample(texture(sample.image, rng), sample.target, sample.valid, sample.image)


def _moved(image: Image, target: Image, valid: Image, move: Plane) -> Sample:
    """What lies beyond the picture is grey, no person, and counts."""
    moved = move(image, cv2.INTER_LINEAR, _GREY)
    return Sample(
        moved, move(target, cv2.INTER_NEAREST, 0), move(valid, cv2.INTER_NEAREST, 1), moved
    )


def _warped(
    plane: Image, matrix: NDArray[np.float64], size: tuple[int, int], mode: int, beyond: int
) -> Image:
    return u8(
        cv2.warpAffine(
            plane,
            matrix,
            size[::-1],
            flags=mode,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(beyond,) * 3,
        )
    )


def texture(image: Image, rng: np.random.Generator) -> Image:
    """Colour, then blur, then noise, each with probability 1/2."""
    for step in (_colour, _blur, _noise):
        if rng.random() < 0.5:
            image = step(image, rng)
    return image


def _colour(image: Image, rng: np.random.Generator) -> Image:
    """Saturation and brightness times 0.4 to 1.6, contrast 0.6 to 1.4, sharpness 0.8 to 1.2."""

    def blended(start: NDArray[np.float32], x: Image, low: float, high: float) -> Image:
        keep = float(rng.uniform(low, high))
        return u8(np.clip(start + keep * (x.astype(np.float32) - start), 0, 255))

    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None]
    x = blended(grey, image, 0.4, 1.6)
    x = blended(np.zeros_like(grey), x, 0.4, 1.6)
    mean = np.full_like(grey, cv2.cvtColor(x, cv2.COLOR_RGB2GRAY).mean())
    x = blended(mean, x, 0.6, 1.4)
    return blended(cv2.blur(x, (3, 3)).astype(np.float32), x, 0.8, 1.2)


def _blur(image: Image, rng: np.random.Generator) -> Image:
    side, kind = int(rng.choice((3, 5))), rng.random()
    if kind < 0.3:
        return u8(cv2.GaussianBlur(image, (side, side), 0))
    return u8(cv2.medianBlur(image, side) if kind < 0.6 else cv2.blur(image, (side, side)))


def _noise(image: Image, rng: np.random.Generator) -> Image:
    noise = rng.normal(0, rng.uniform(0, 10), image.shape)
    return u8(np.clip(image + noise, 0, 255))


def prior(sample: Sample, rng: np.random.Generator) -> tuple[Sample, Image]:
    """PortraitNet's prior channel: uint8 [H, W], empty in half of the samples, else the label. Then
    either the picture moves on and the prior stays, or the prior is spoilt and the picture stays.
    """
    if rng.random() < 0.5:
        return sample, np.zeros_like(sample.target)
    move = _small_motion(sample.target.shape, rng)
    if rng.random() < 0.5:
        return sample, move(sample.target, cv2.INTER_LINEAR, 0)
    moved = _moved(sample.clean, sample.target, sample.valid, move)
    image = texture(moved.image, rng)
    return Sample(image, moved.target, moved.valid, moved.image), sample.target


def _small_motion(size: tuple[int, ...], rng: np.random.Generator) -> Plane:
    """Each with probability 1/2: motion blur along 5 to 30 pixels, then an affine map, a
    perspective one and a thin plate spline through the corners, each of which moves by up to 5 % of
    the side.
    """
    height, width = size[:2]
    kernel = _motion_kernel(rng) if rng.random() < 0.5 else None
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float32)

    def off(count: int) -> NDArray[np.float32]:
        shift = rng.uniform(-0.05, 0.05, (count, 2)) * (width, height)
        return (corners[:count] + shift).astype(np.float32)

    turn = cv2.getAffineTransform(off(3), off(3)) if rng.random() < 0.5 else None
    tilt = cv2.getPerspectiveTransform(off(4), off(4)) if rng.random() < 0.5 else None
    bend = _spline(off(4), off(4), (height, width)) if rng.random() < 0.5 else None

    def move(plane: Image, mode: int, beyond: int) -> Image:
        edge = {"flags": mode, "borderMode": cv2.BORDER_CONSTANT, "borderValue": (beyond,) * 3}
        if kernel is not None:
            plane = u8(cv2.filter2D(plane, -1, kernel))
        if turn is not None:
            plane = u8(cv2.warpAffine(plane, turn, (width, height), **edge))  # type: ignore[call-overload]
        if tilt is not None:
            plane = u8(cv2.warpPerspective(plane, tilt, (width, height), **edge))  # type: ignore[call-overload]
        if bend is not None:
            plane = u8(cv2.remap(plane, *bend, mode, None, cv2.BORDER_CONSTANT, (beyond,) * 3))
        return plane

    return move


def _motion_kernel(rng: np.random.Generator) -> NDArray[np.float32]:
    """A line of 5 to 30 pixels in any direction; float32 [K, K], its sum is 1."""
    length, angle = int(rng.integers(5, 31)), float(rng.uniform(0, 360))
    line = np.eye(length, dtype=np.float32)
    turn = cv2.getRotationMatrix2D(((length - 1) / 2, (length - 1) / 2), angle, 1)
    turned = np.asarray(cv2.warpAffine(line, turn, (length, length)), np.float32)
    return turned / max(float(turned.sum()), 1e-6)


def _spline(
    source: NDArray[np.float32], target: NDArray[np.float32], size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """For each pixel, where the thin plate spline (Bookstein, PAMI 1989) from `target` to `source`,
    both float32 [P, 2] as x, y, takes its colour from: two planes float32 [H, W] for cv2.remap.
    """

    def bent(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        squares = np.asarray(((a[:, None] - b[None]) ** 2).sum(-1), np.float64)
        return np.asarray(squares * np.log(np.maximum(squares, 1e-12)))

    ends = target.astype(np.float64) / max(size)
    count = len(ends)
    flat = np.hstack([np.ones((count, 1)), ends])
    system = np.block([[bent(ends, ends), flat], [flat.T, np.zeros((3, 3))]])
    wanted = np.vstack([source, np.zeros((3, 2))])
    weights = np.linalg.solve(system, wanted)
    rows, columns = np.mgrid[: size[0], : size[1]]
    places = np.stack([columns.ravel(), rows.ravel()], 1) / max(size)
    found = bent(places, ends) @ weights[:count] + weights[count] + places @ weights[count + 1 :]
    planes = found.astype(np.float32).reshape(*size, 2)
    return planes[..., 0], planes[..., 1]


def celeba(
    image: Image, target: Image, valid: Image, size: tuple[int, int], rng: np.random.Generator
) -> Sample:
    """Stretched to `size`; with probability 1/2 each: light and colour, mirrored, and one rectangle
    of 20 to 70 % of the height and 30 to 80 % of the width that is filled with 120 and is no face.
    """
    small, mask, counts = stretched(image, target, valid, size)
    fitted = Sample(small, mask, counts, small)
    jittered = _jitter(fitted.image, rng) if rng.random() < 0.5 else fitted.image
    sample = Sample(jittered, fitted.target, fitted.valid, fitted.clean)
    if rng.random() < 0.5:
        sample = _mirrored(sample, classes=False)
    return _dropped(sample, rng) if rng.random() < 0.5 else sample


def _jitter(image: Image, rng: np.random.Generator) -> Image:
    """Brightness, contrast and saturation times 0.7 to 1.3, hue by up to a fifth of the circle."""
    bright, contrast, colour = rng.uniform(0.7, 1.3, 3)
    x = np.clip(image.astype(np.float32) * bright, 0, 255)
    x = np.clip((x - x.mean()) * contrast + x.mean(), 0, 255)
    hsv = cv2.cvtColor(u8(x), cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 1] = np.clip(hsv[..., 1] * colour, 0, 255)
    hsv[..., 0] = (hsv[..., 0] + rng.uniform(-0.2, 0.2) * 180) % 180
    return u8(cv2.cvtColor(u8(hsv), cv2.COLOR_HSV2RGB))


def _dropped(sample: Sample, rng: np.random.Generator) -> Sample:
    """With one rectangle covered, which counts as background."""
    height, width = sample.target.shape
    tall, wide = int(height * rng.uniform(0.2, 0.7)), int(width * rng.uniform(0.3, 0.8))
    top, left = int(rng.integers(height - tall + 1)), int(rng.integers(width - wide + 1))
    hole = (slice(top, top + tall), slice(left, left + wide))
    image, target, valid = (x.copy() for x in (sample.image, sample.target, sample.valid))
    image[hole], target[hole], valid[hole] = 120, 0, 1
    return Sample(image, target, valid, sample.clean)
