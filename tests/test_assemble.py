"""What a request becomes."""

from __future__ import annotations

from typing import Any

import pytest

from vcam.assemble import RunRequest, build_run
from vcam.linux.viewers import LoopbackReaders


def request(**changes: Any) -> RunRequest:
    values: dict[str, Any] = {
        "source": "webcam",
        "sink": "/dev/video10",
        "effects": ("none",),
        "engine": "sinet_fp32",
        "engines": (),
        "backend": "onnxruntime",
        "threads": 1,
        "size": None,
        "fps": 30.0,
        "mirror": False,
        "grow_px": 0.0,
        "feather_px": 0.0,
        "duration_s": None,
        "overwrite": False,
        "face_engine": "none",
        "faces": 1,
    }
    return RunRequest(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "on_demand"),
    [
        ({}, True),
        ({"source": "webcam:/dev/video2"}, True),
        ({"always_on": True}, False),
        ({"source": "demo"}, False),
        ({"source": "rtsp://camera/1"}, False),
        ({"sink": "null"}, False),
    ],
)
def test_a_webcam_into_a_loopback_camera_is_opened_on_demand(
    changes: dict[str, Any], on_demand: bool
) -> None:
    pipeline, _ = build_run(request(**changes))
    assert pipeline._watch is (LoopbackReaders if on_demand else None)
