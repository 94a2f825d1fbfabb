"""Machines made of a folder, for the checks to look at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vcam.doctor import ON_LINUX
from vcam.doctor.machine import Machine
from vcam.doctor.verdict import Verdict
from vcam.linux.v4l2 import LOOPBACK_DRIVER, Mode, Node
from vcam.linux.videodev2 import V4L2_CAP_VIDEO_CAPTURE, V4L2_CAP_VIDEO_OUTPUT

RELEASE = "6.1.0-56-amd64"
OPTIONS = "etc/modprobe.d/vcam.conf"
GOOD_OPTIONS = "options v4l2loopback devices=1 video_nr=10 card_label=vcam exclusive_caps=1\n"
LOADED = {
    "sys/module/v4l2loopback/version": "0.15.0\n",
    "sys/module/v4l2loopback/parameters/exclusive_caps": "Y,N\n",
}

IDLE = Node("/dev/video10", LOOPBACK_DRIVER, "vcam", caps=V4L2_CAP_VIDEO_OUTPUT)
WRITTEN = Node("/dev/video10", LOOPBACK_DRIVER, "vcam", caps=V4L2_CAP_VIDEO_CAPTURE)
BOTH = Node(
    "/dev/video11", LOOPBACK_DRIVER, "plain", caps=V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_VIDEO_OUTPUT
)
CAMERA = Node("/dev/video0", "uvcvideo", "HD Webcam", caps=V4L2_CAP_VIDEO_CAPTURE)
HD = [Mode("YUYV", 640, 480, 30.0), Mode("MJPG", 1280, 720, 30.0)]


def machine(root: Path, files: Mapping[str, str] | None = None, /, **about: Any) -> Machine:
    """A machine whose root is that folder, with those files in it."""
    for name, text in (files or {}).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Machine(
        **{
            "root": root,
            "release": RELEASE,
            "program": "/opt/vcam/bin/vcam",
            "python": "/opt/vcam/bin/python",
            **about,
        }
    )


def commands(verdict: Verdict) -> list[str]:
    """What a person would type."""
    return [fix.typed for fix in verdict.fixes]


def verdict_of(
    check: str, root: Path, files: Mapping[str, str] | None = None, /, **about: Any
) -> Verdict:
    """What the Linux check of that name says of such a machine."""
    return ON_LINUX[check](machine(root, files, **about))
