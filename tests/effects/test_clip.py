"""The effect `video`: a moving room at its own speed, in a loop."""

from __future__ import annotations

import threading
import time
from functools import partial
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

from tests.helpers import frame_of
from vcam.backends.fake import centre_is_person
from vcam.colour import to_rgb
from vcam.effects import make_effect
from vcam.effects.composer import Composer
from vcam.errors import SourceError
from vcam.frame import Frame, Matte
from vcam.matting.pyramid import Pyramid
from vcam.matting.refine import RefineConfig
from vcam.monitor import Stats

MATTE = Matte(centre_is_person(np.zeros((64, 64, 3), np.uint8)))
LEVELS = (20, 70, 120, 170, 220)
CLIP_FPS = 10


def write_clip(path: Path) -> None:
    """Five grey pictures, ten per second."""
    codec, pixels = ("gif", "rgb8") if path.suffix == ".gif" else ("libx264", "yuv420p")
    with av.open(str(path), "w") as container:
        stream = cast(VideoStream, container.add_stream(codec, CLIP_FPS))
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        for level in LEVELS:
            picture = av.VideoFrame.from_ndarray(
                np.full((48, 64, 3), level, np.uint8), format="rgb24"
            )
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def composer_of(path: Path, *, live: bool = False) -> Composer:
    effects = [make_effect(f"video:{path}")]
    return Composer(effects, RefineConfig(), Stats(), transparent=False, live=live)


def at(seconds: float) -> Frame:
    frame = frame_of()
    return Frame(
        frame.data, frame.matrix, t_capture_ns=round(seconds * 1e9), pts_ns=round(seconds * 1e9)
    )


def room_level(composer: Composer, seconds: float) -> float:
    frame = at(seconds)
    return float(to_rgb(composer.compose(frame, Pyramid.of(frame), MATTE))[2:8, 2:8].mean())


@pytest.mark.parametrize("name", ["room.mp4", "room.gif"])
def test_the_room_moves_at_its_own_speed_and_starts_again(tmp_path: Path, name: str) -> None:
    write_clip(tmp_path / name)
    with composer_of(tmp_path / name) as composer:
        seen = [room_level(composer, step / 30 + 0.001) for step in range(30)]
    expected = [LEVELS[step // 3 % 5] for step in range(30)]
    assert np.abs(np.array(seen) - expected).max() < 20
    assert np.abs(np.array(seen) - expected).mean() < 8


def test_a_live_picture_waits_for_no_clip(tmp_path: Path) -> None:
    write_clip(tmp_path / "room.mp4")
    with composer_of(tmp_path / "room.mp4", live=True) as composer:
        room_level(composer, 100.0)
        start = time.monotonic()
        room_level(
            composer, 100.0 + 3600.0
        )  # an hour later: no catching up through an hour of clip
        assert time.monotonic() - start < 1.0


def test_the_decoding_thread_ends_with_the_effect(tmp_path: Path) -> None:
    write_clip(tmp_path / "room.mp4")
    with composer_of(tmp_path / "room.mp4") as composer:
        room_level(composer, 0.0)
        assert "vcam-clip" in [thread.name for thread in threading.enumerate()]
    assert "vcam-clip" not in [thread.name for thread in threading.enumerate()]


def test_what_is_no_video_is_refused_before_any_frame(tmp_path: Path) -> None:
    (tmp_path / "room.mp4").write_text("no video")
    with pytest.raises(SourceError, match=r"room\.mp4"), composer_of(tmp_path / "room.mp4"):
        pass


def test_a_clip_that_breaks_later_says_so(tmp_path: Path) -> None:
    path = tmp_path / "room.mp4"
    write_clip(path)
    with composer_of(path) as composer:
        path.write_text("replaced")
        with pytest.raises(SourceError, match=r"room\.mp4"):
            list(map(partial(room_level, composer), np.arange(60) / 10))
