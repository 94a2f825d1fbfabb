"""A person in front of a webcam, for users without a camera.

The picture, astronaut.jpg, is NASA's portrait of Eileen Collins (NASA Great Images,
https://flic.kr/p/r9qvLn), without known copyright restrictions and in the public domain, in the
512x512 version that scikit-image distributes.
"""

from __future__ import annotations

import importlib.resources
import math
import time
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam.colour import from_rgb
from vcam.errors import SourceError, UsageError
from vcam.frame import Frame, Matrix, Plane
from vcam.sources.base import SourceRequest
from vcam.sources.common import SourceBase

_PHOTO = "astronaut.jpg"
_PHOTO_PX = 512
_FACE = (
    228.0,
    136.0,
)  # the mouth; the picture's centre comes as close to it as the photo's edges allow
_VIEW_PX = (452.0, 400.0)  # the widest and the tallest window
_LARGEST_PX = 2048  # of the enlarged photo
_SWAY_PX, _BOB_PX, _TILT_DEG, _ZOOM = 13.0, 4.0, 1.8, 0.03
_NOISE_SIGMA = 1.2  # of luma, like a webcam's in room light
_NOISE_SHIFTS = 61


class DemoSource(SourceBase):
    """A portrait that moves a little, as people do: it sways, nods, leans and comes closer; with
    sensor noise.

    Endless; the same index gives the same picture.

    Args:
        where: must be empty.
        request: the pipeline's requirements; default size 1280x720, default matrix BT.601.
        noise: add sensor noise.
    """

    def __init__(self, where: str, request: SourceRequest, noise: bool = True) -> None:
        if where:
            raise UsageError(
                f"demo:{where}: the source 'demo' takes no argument; type --source demo"
            )
        super().__init__("demo", replace(request, size=request.size or (1280, 720)))
        self._with_noise = noise
        self._photo: Frame | None = None
        self._noise: NDArray[np.uint8] | None = None

    def _open(self) -> None:
        scale = min(_LARGEST_PX / _PHOTO_PX, max(1.0, 1 / self._photo_px_per_px()))
        side = round(_PHOTO_PX * scale / 2) * 2
        photo = cv2.resize(_load_photo(), (side, side), interpolation=cv2.INTER_CUBIC)
        self._photo = from_rgb(np.asarray(photo, np.uint8), self._request.matrix or Matrix.BT601)
        if self._with_noise:
            width, height = self.size
            shape = (height + _NOISE_SHIFTS, width + _NOISE_SHIFTS)
            noise = np.random.default_rng(0).normal(128, _NOISE_SIGMA, shape)
            self._noise = np.rint(noise).astype(np.uint8)

    def read(self) -> Frame | None:
        """The next frame at once; None after `interrupt`."""
        if self._stop.is_set() or self._photo is None:
            return None
        index = self._next_index()
        frame = Frame.empty(
            self.size, self._photo.matrix, time.monotonic_ns(), index, self._period_ns(index)
        )
        window = self._window(index / self.fps)
        for source, target in zip(self._photo.planes, frame.planes, strict=True):
            _warp(
                source, target, window, source.shape[0] / _PHOTO_PX, target.shape[1] / self.size[0]
            )
        if self._noise is not None:
            _add_noise(frame.y, self._noise, index)
        return frame

    def _photo_px_per_px(self) -> float:
        """Photo pixels per frame pixel: the window fits into
        `_VIEW_PX`.
        """
        return min(_VIEW_PX[0] / self.size[0], _VIEW_PX[1] / self.size[1])

    def _window(self, time_s: float) -> NDArray[np.float64]:
        """float64 [2, 3]: maps frame pixels (x, y, 1) to photo pixels at this time."""
        width, height = self.size
        scale = self._photo_px_per_px() * (1 - _ZOOM * (1 + _drift(time_s, 3)) / 2)
        angle = math.radians(_TILT_DEG * _drift(time_s, 2))
        across, up = scale * math.cos(angle), scale * math.sin(angle)
        linear = np.array([[across, -up], [up, across]])
        if self._request.mirror:
            linear[:, 0] *= -1
        reach_x, reach_y = (np.abs(linear) @ (width / 2, height / 2)).tolist()
        centre = (
            _kept(_FACE[0], reach_x + _SWAY_PX) + _SWAY_PX * _drift(time_s, 0),
            _kept(_FACE[1], reach_y + _BOB_PX) + _BOB_PX * _drift(time_s, 1),
        )
        offset = np.array(centre) - linear @ ((width - 1) / 2, (height - 1) / 2)
        return np.column_stack([linear, offset])

    def close(self) -> None:
        """Forget the photo. May be called twice, and without having opened."""
        self._photo = self._noise = None


def _load_photo() -> NDArray[np.uint8]:
    """uint8 [512, 512, 3] RGB."""
    try:
        data = importlib.resources.files("vcam.sources").joinpath(_PHOTO).read_bytes()
    except OSError as error:
        raise SourceError(
            f"demo: {_PHOTO} is missing from the installation; install vcam again"
        ) from error
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise SourceError(f"demo: {_PHOTO} is damaged; install vcam again")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _drift(time_s: float, which: int) -> float:
    """Smooth motion between -1 and 1 without visible repetition: three sines with incommensurable
    periods.
    """
    phase = 1.7 * which
    slow = 0.5 * math.sin(0.53 * time_s + phase)
    return (
        slow + 0.3 * math.sin(1.13 * time_s + 2 * phase) + 0.2 * math.sin(2.17 * time_s + 3 * phase)
    )


def _kept(centre: float, reach: float) -> float:
    """Shift the centre so that a window reaching `reach` to both sides stays inside
    the photo.
    """
    return min(max(centre, reach), _PHOTO_PX - reach) if 2 * reach < _PHOTO_PX else _PHOTO_PX / 2


def _warp(
    source: Plane,
    target: Plane,
    window: NDArray[np.float64],
    photo_scale: float,
    frame_scale: float,
) -> None:
    """Draw a plane of the photo through a window given in luma pixels.

    photo_scale, frame_scale: samples of the plane per pixel of the photo, and of the frame. Pixel
        centres lie at +0.5.
    """
    matrix = window.copy()
    matrix[:, :2] *= photo_scale / frame_scale
    to_pixel = 0.5 / frame_scale - 0.5
    matrix[:, 2] = (window[:, :2] @ (to_pixel, to_pixel) + window[:, 2] + 0.5) * photo_scale - 0.5
    height, width = target.shape
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cv2.warpAffine(
        source, matrix, (width, height), dst=target, flags=flags, borderMode=cv2.BORDER_REFLECT_101
    )


def _add_noise(luma: Plane, noise: NDArray[np.uint8], index: int) -> None:
    """Add the noise picture with a different shift per frame, and clip to limited range."""
    height, width = luma.shape
    x, y = index * 17 % _NOISE_SHIFTS, index * 29 % _NOISE_SHIFTS
    cv2.addWeighted(luma, 1.0, noise[y : y + height, x : x + width], 1.0, -128.0, dst=luma)
    np.clip(luma, 16, 235, out=luma)
