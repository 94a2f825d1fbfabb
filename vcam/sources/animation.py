"""Animated WebP, which FFmpeg does not read, through Pillow; same interface as `Media`."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vcam import limits
from vcam.errors import SourceError, SourceLost

if TYPE_CHECKING:
    from av import VideoFrame
    from PIL.Image import Image

_MILLISECONDS = Fraction(1, 1000)
_FASTEST_MS = 10
"""Pictures with a shorter duration are shown for a tenth of a second, as in browsers."""


class Animation:
    """An open animation; see `vcam.sources.media.Media` for attributes and methods."""

    def __init__(self, name: str, path: Path, fallback_fps: float = 30.0) -> None:
        self.name = name
        self.fps = fallback_fps
        self.frames: int | None = None
        self.damaged = 0
        self.longest_still_s = float("inf")
        self.start_s = 0.0
        self.end_s: float | None = None
        self.prolongs_last = False
        self._path = path
        self._image: Image | None = None

    def open(self) -> None:
        """Open the file.

        Raises:
            SourceError: it cannot be opened.
        """
        from PIL import Image

        try:
            self._image = Image.open(self._path)
        except Image.DecompressionBombError as error:
            raise SourceError(f"{self.name}: {limits.too_large()}") from error
        except (OSError, ValueError, SyntaxError) as error:
            raise SourceError(
                f"{self.name}: the animation is damaged ({error}); copy it again"
            ) from error
        width, height = self._image.size
        if width * height > limits.max_pixels():
            self.close()
            raise SourceError(f"{self.name}: {limits.too_large(width, height)}")
        self.frames = getattr(self._image, "n_frames", 1)
        first_ms = self._image.info.get("duration") or 0
        self.fps = 1000 / first_ms if first_ms >= _FASTEST_MS else self.fps

    def pictures(self) -> Iterator[VideoFrame]:
        """Every picture in order.

        Raises:
            SourceLost: a picture cannot be decoded.
        """
        from av import VideoFrame

        assert self._image is not None
        time_ms = 0
        for index in range(self.frames or 0):
            try:
                self._image.seek(index)
                rgba = np.asarray(self._image.convert("RGBA"))
            except (OSError, ValueError, EOFError, SyntaxError) as error:
                raise SourceLost(f"{self.name}: broke off after {index} frames: {error}") from error
            picture = VideoFrame.from_ndarray(rgba, format="rgba")
            length_ms = int(self._image.info.get("duration") or 0)
            picture.pts, picture.time_base = time_ms, _MILLISECONDS
            picture.duration = length_ms if length_ms >= _FASTEST_MS else 100
            time_ms += picture.duration
            yield picture

    def time_s(self, picture: VideoFrame) -> float | None:
        """The presentation time of a picture."""
        return picture.time

    def duration_s(self, picture: VideoFrame) -> float:
        """The duration of a picture."""
        return float(picture.duration * _MILLISECONDS)

    def close(self) -> None:
        """Release the file. May be called twice, also if it was never opened."""
        if self._image is not None:
            self._image.close()
            self._image = None
