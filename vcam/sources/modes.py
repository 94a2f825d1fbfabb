"""Choose the best camera mode for a request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import log2
from types import MappingProxyType

from vcam.frame import Size
from vcam.linux.v4l2 import Mode
from vcam.sources.fit import crop_box

FFMPEG_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "NV12": "nv12",
        "YU12": "yuv420p",
        "YUYV": "yuyv422",
        "UYVY": "uyvy422",
        "BGR3": "bgr24",
        "RGB3": "rgb24",
        "MJPG": "mjpeg",
        "JPEG": "mjpeg",
    }
)
"""Supported formats, cheapest first, with FFmpeg's `input_format` names. Excluded: grey (infrared
cameras) and video codecs (delay)."""

_USABLE_FPS = 24.0
_NEARLY = 0.98  # 29.97 is 30


def choose_mode(modes: Iterable[Mode], size: Size, fps: float) -> Mode | None:
    """Choose the mode that is nearest to `size` and `fps`; None if no format is known.

    Criteria in order: a rate that shows motion (24, or `fps` if that is less), the size, the rate,
    the cheapest format, no more frames than requested. So an uncompressed mode is chosen only if it
    is as fast as MJPG, and if a camera has 1280x720 at 30 and 320x240 at 60, the larger size wins.
    An unknown rate counts as sufficient.
    """
    known = [mode for mode in modes if mode.fourcc in FFMPEG_NAMES]
    return min(known, key=lambda mode: _badness(mode, size, fps), default=None)


def _badness(mode: Mode, size: Size, fps: float) -> tuple[bool, float, float, int, float]:
    rate = mode.fps or fps
    usable = rate >= _NEARLY * min(fps, _USABLE_FPS)
    lacking = 0.0 if rate >= _NEARLY * fps else fps - rate
    return (
        not usable,
        _misfit((mode.width, mode.height), size),
        lacking,
        list(FFMPEG_NAMES).index(mode.fourcc),
        rate,
    )


def _misfit(have: Size, want: Size) -> float:
    """Size penalty: 0 for the same size; 2 for enlarging by two, 1 for shrinking by two, and 1 for
    a crop to another aspect ratio.
    """
    if have == want:
        return 0.0
    box = crop_box(have, want)
    octaves = log2(box.width / want[0])
    same_aspect = abs(have[0] * want[1] / (have[1] * want[0]) - 1) < 0.01
    return max(octaves, -2 * octaves) + (0.0 if same_aspect else 1.0)
