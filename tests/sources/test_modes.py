"""Which camera mode is chosen."""

from __future__ import annotations

import pytest

from vcam.frame import Size
from vcam.linux.v4l2 import Mode
from vcam.sources.modes import choose_mode


def modes(*texts: str) -> list[Mode]:
    """Modes from "MJPG 1280x720 30"."""
    found = []
    for text in texts:
        fourcc, size, fps = text.split()
        width, height = size.split("x")
        found.append(Mode(fourcc, int(width), int(height), float(fps)))
    return found


LAPTOP = (
    "YUYV 640x480 30",
    "YUYV 640x360 30",
    "YUYV 1280x720 10",
    "YUYV 1920x1080 5",
    "MJPG 640x480 30",
    "MJPG 640x360 30",
    "MJPG 1280x720 30",
    "MJPG 1920x1080 30",
)


@pytest.mark.parametrize(
    ("have", "size", "fps", "expected"),
    [
        (LAPTOP, (1280, 720), 30, "MJPG 1280x720 30"),
        (LAPTOP, (640, 480), 30, "YUYV 640x480 30"),
        (LAPTOP, (1280, 720), 10, "YUYV 1280x720 10"),
        (LAPTOP, (1920, 1080), 30, "MJPG 1920x1080 30"),
        (LAPTOP, (1280, 720), 60, "MJPG 1280x720 30"),
        (("YUYV 1280x720 30", "NV12 1280x720 30"), (1280, 720), 30, "NV12 1280x720 30"),
        (("MJPG 1280x720 60", "MJPG 1280x720 30"), (1280, 720), 30, "MJPG 1280x720 30"),
        (("MJPG 1280x720 60", "MJPG 1280x720 30"), (1280, 720), 60, "MJPG 1280x720 60"),
        (("YUYV 1280x720 60", "MJPG 1280x720 30"), (1280, 720), 30, "YUYV 1280x720 60"),
        (("YUYV 1280x720 29.97", "MJPG 1280x720 30"), (1280, 720), 30, "YUYV 1280x720 29.97"),
        (("MJPG 1280x720 25", "MJPG 320x240 30"), (1280, 720), 30, "MJPG 1280x720 25"),
        (("MJPG 1280x720 30", "MJPG 320x240 60"), (1280, 720), 60, "MJPG 1280x720 30"),
        (("YUYV 1280x720 10", "YUYV 640x480 30"), (1280, 720), 30, "YUYV 640x480 30"),
        (("YUYV 1280x720 5", "YUYV 1280x720 10"), (1280, 720), 30, "YUYV 1280x720 10"),
        (("MJPG 1280x960 30", "MJPG 1920x1080 30"), (1280, 720), 30, "MJPG 1920x1080 30"),
        (("MJPG 960x540 30", "MJPG 1920x1080 30"), (1280, 720), 30, "MJPG 1920x1080 30"),
        (("MJPG 960x540 30", "MJPG 3840x2160 30"), (1280, 720), 30, "MJPG 960x540 30"),
        (("MJPG 640x480 30", "MJPG 160x90 30"), (1280, 720), 30, "MJPG 640x480 30"),
        (("MJPG 640x480 30", "MJPG 640x360 30"), (1280, 720), 30, "MJPG 640x360 30"),
        (("MJPG 1280x720 0", "MJPG 640x360 30"), (1280, 720), 30, "MJPG 1280x720 0"),
        (
            ("H264 1280x720 30", "GREY 1280x720 30", "YUYV 640x480 15"),
            (1280, 720),
            30,
            "YUYV 640x480 15",
        ),
    ],
)
def test_the_best_mode(have: tuple[str, ...], size: Size, fps: float, expected: str) -> None:
    (wanted,) = modes(expected)
    assert choose_mode(modes(*have), size, fps) == wanted
    assert choose_mode(reversed(modes(*have)), size, fps) == wanted


@pytest.mark.parametrize("have", [(), ("H264 1280x720 30", "GREY 640x360 30")])
def test_no_mode_where_no_format_is_known(have: tuple[str, ...]) -> None:
    assert choose_mode(modes(*have), (1280, 720), 30) is None
