"""The webcam source with scripted cameras, and what is said where there is none. Real
ones: guest/.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import pytest

from tests.sources.media_files import assert_quadrants, picture, quadrants
from vcam.errors import SourceError, SourceLost
from vcam.frame import Matrix, Size
from vcam.linux.v4l2 import Node
from vcam.linux.videodev2 import V4L2_CAP_VIDEO_CAPTURE, V4L2_CAP_VIDEO_OUTPUT
from vcam.sources.base import SourceRequest
from vcam.sources.camera import Shot
from vcam.sources.ffmpeg_camera import FFmpegCamera, first_camera
from vcam.sources.webcam import WebcamSource, list_cameras

SIZE = (96, 64)


class ScriptedCamera:
    """Gives the shots of a list, None meaning "nothing yet", and then nothing any more."""

    path = "/dev/video7"
    fps = 25.0
    format_name = "MJPG"

    def __init__(self, shots: Sequence[Shot | SourceLost | None], size: Size = SIZE) -> None:
        self.size = size
        self.shots = list(shots)
        self.polls = 0
        self.closed = 0
        self.asked: tuple[str, Size, float] | None = None

    def open(self, where: str, size: Size, fps: float) -> ScriptedCamera:
        self.asked = (where, size, fps)
        return self

    def poll(self) -> Shot | None:
        self.polls += 1
        shot = self.shots.pop(0) if self.shots else None
        if isinstance(shot, SourceLost):
            raise shot
        return shot

    def close(self) -> None:
        self.closed += 1


def shot(t_capture_ns: int, size: Size = SIZE) -> Shot:
    jpeg = picture(quadrants(size), "yuvj422p", Matrix.BT601, full=True)
    jpeg.colorspace = 2
    return Shot(jpeg, t_capture_ns)


def test_shots_become_frames_with_their_times() -> None:
    camera = ScriptedCamera([None, shot(1_000), None, None, shot(41_000)])
    with WebcamSource("", SourceRequest(), camera.open) as source:
        assert camera.asked == ("", (1280, 720), 30.0)
        assert (source.name, source.live, source.frames) == ("/dev/video7", True, None)
        assert (source.size, source.fps) == (SIZE, 25.0)
        assert source.mode == "asked for 1280x720 at 30 fps, got 96x64 MJPG at 25 fps"
        first, second = source.read(), source.read()
    assert first is not None
    assert second is not None
    assert [(f.t_capture_ns, f.pts_ns, f.index) for f in (first, second)] == [
        (1_000, 0, 0),
        (41_000, 40_000, 1),
    ]
    assert first.matrix is Matrix.BT601
    assert_quadrants(first)
    assert camera.closed == 1


def test_motion_jpeg_of_hd_size_is_bt601() -> None:
    camera = ScriptedCamera([shot(1, (1280, 720))], (1280, 720))
    with WebcamSource("", SourceRequest(), camera.open) as source:
        frame = source.read()
    assert frame is not None
    assert frame.matrix is Matrix.BT601
    assert_quadrants(frame)


def test_a_request_is_asked_for_and_obeyed() -> None:
    camera = ScriptedCamera([shot(1)])
    request = SourceRequest(size=(48, 48), fps=15, mirror=True, matrix=Matrix.BT709)
    with WebcamSource("/dev/video7", request, camera.open) as source:
        assert camera.asked == ("/dev/video7", (48, 48), 15)
        assert source.size == (48, 48)
        frame = source.read()
    assert frame is not None
    assert (frame.size, frame.matrix) == ((48, 48), Matrix.BT709)
    colours = [(30, 180, 60), (200, 40, 30), (128, 128, 128), (40, 60, 210)]
    assert_quadrants(frame, colours)


def test_a_driver_that_sends_another_size_than_it_said_does_not_change_the_frames() -> None:
    camera = ScriptedCamera([shot(1, (64, 64)), shot(2)])
    with WebcamSource("", SourceRequest(), camera.open) as source:
        frames = [source.read(), source.read()]
    assert [frame.size for frame in frames if frame] == [SIZE, SIZE]


def test_a_silent_camera_is_lost_after_the_timeout() -> None:
    camera = ScriptedCamera([shot(1)])
    with WebcamSource("", SourceRequest(), camera.open, no_frame_timeout_s=0.2) as source:
        assert source.read() is not None
        started = time.monotonic()
        with pytest.raises(
            SourceLost, match=r"^/dev/video7: no picture for 0.2 s; unplug the camera"
        ):
            source.read()
        assert time.monotonic() - started >= 0.2
    assert 4 < camera.polls < 200  # neither rarely nor without a pause


def test_a_silent_camera_can_be_interrupted() -> None:
    camera = ScriptedCamera([])
    with WebcamSource("", SourceRequest(), camera.open) as source:
        timer = threading.Timer(0.2, source.interrupt)
        timer.start()
        assert source.read() is None  # else the camera is lost
        timer.join()
        source.interrupt()
        assert source.read() is None
    assert camera.closed == 1


def test_a_lost_camera_is_closed() -> None:
    camera = ScriptedCamera([SourceLost("/dev/video7: the camera is gone")])
    source = WebcamSource("", SourceRequest(), camera.open)
    with pytest.raises(SourceLost, match="is gone"), source:
        source.read()
    source.close()
    assert camera.closed == 1


def test_a_device_of_ffmpeg_gives_its_newest_picture() -> None:
    """The lavfi device never makes one wait, so its queue is always full."""
    camera = FFmpegCamera("test", "testsrc2=size=96x64:rate=30,format=yuyv422", "lavfi", [{}])
    camera.open()
    try:
        assert (camera.size, camera.fps, camera.format_name) == (SIZE, 30.0, "YUYV")
        before = time.monotonic_ns()
        first, second = camera.poll(), camera.poll()
        assert first is not None
        assert second is not None
        assert before < first.t_capture_ns < second.t_capture_ns <= time.monotonic_ns()
        assert first.picture.pts == 31
        assert second.picture.pts == 63
    finally:
        camera.close()
        camera.close()


def test_a_device_that_ends_is_lost() -> None:
    camera = FFmpegCamera("test", "testsrc2=size=96x64:rate=30:duration=0.1", "lavfi", [{}])
    camera.open()
    with pytest.raises(SourceLost, match=r"^test: the camera has ended"):
        camera.poll()
    camera.close()


def test_the_next_options_are_tried_where_the_driver_refuses() -> None:
    source = "testsrc2=size=96x64"
    camera = FFmpegCamera("test", source, "lavfi", [{"fflags": "nonsense"}, {}])
    camera.open()
    assert camera.size == SIZE
    camera.close()
    with pytest.raises(
        SourceError, match=r"^test: cannot be opened \(Invalid argument\); `vcam devices`"
    ):
        FFmpegCamera("test", source, "lavfi", [{"fflags": "nonsense"}]).open()


UVC = Node("/dev/video2", "uvcvideo", "Camera", "usb", V4L2_CAP_VIDEO_CAPTURE)
METADATA = Node("/dev/video3", "uvcvideo", "Camera", "usb", 0x00800000)
LOOPBACK = Node(
    "/dev/video0",
    "v4l2 loopback",
    "vcam",
    "platform",
    V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_VIDEO_OUTPUT,
)
FORBIDDEN = Node(
    "/dev/video1", problem="permission denied; join its group: sudo usermod -aG video $USER"
)


def test_the_first_camera_is_neither_virtual_nor_a_metadata_node() -> None:
    assert first_camera([LOOPBACK, METADATA, FORBIDDEN, UVC]) == "/dev/video2"


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (
            [],
            (
                "no camera was found; plug one in, or type `vcam run --source demo` or `vcam run"
                " --source FILE`"
            ),
        ),
        ([METADATA], "no camera was found; plug one in"),
        ([LOOPBACK], "no camera but virtual ones was found; plug one in"),
        (
            [LOOPBACK, FORBIDDEN],
            "no camera was found: /dev/video1: permission denied; join its group",
        ),
    ],
)
def test_no_camera_is_explained(nodes: list[Node], message: str) -> None:
    with pytest.raises(SourceError) as caught:
        first_camera(nodes)
    assert message in str(caught.value)


@pytest.mark.skipif(sys.platform != "linux", reason="V4L2 is Linux only")
@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            "/dev/video4242",
            r"^/dev/video4242: no such device; `vcam devices` lists those there are$",
        ),
        ("4242", r"^/dev/video4242: no such device"),
        ("/dev/null", r"^/dev/null: not a video device"),
        ("Some Camera", r"^Some Camera: no such device"),
    ],
)
def test_what_is_no_camera(where: str, message: str) -> None:
    source = WebcamSource(where, SourceRequest())
    with pytest.raises(SourceError, match=message), source:
        pass
    source.close()


def test_listing_cameras_needs_none() -> None:
    assert isinstance(list_cameras(), list)


def test_a_broken_picture_is_skipped(tmp_path: Path) -> None:
    """USB cameras send half a JPEG now and then; that must not end a call."""
    jpeg = cv2.imencode(".jpg", quadrants(SIZE))[1].tobytes()
    broken = jpeg[:20] + bytes(len(jpeg) - 22) + jpeg[-2:]
    path = tmp_path / "camera.mjpeg"
    path.write_bytes((jpeg * 31 + broken) + jpeg * 32)
    camera = FFmpegCamera("test", str(path), "mjpeg", [{}])
    camera.open()
    try:
        assert camera.format_name == "MJPG"
        assert camera.poll() is None
        assert camera.poll() is not None
    finally:
        camera.close()


def test_a_picture_of_which_the_decoder_makes_nothing_is_skipped(tmp_path: Path) -> None:
    """A bit error in the JPEG's frame header is "not yet implemented" to FFmpeg, and no invalid
    data.
    """
    jpeg = cv2.imencode(".jpg", quadrants(SIZE))[1].tobytes()
    factors = jpeg.index(b"\xff\xc0") + 11
    broken = jpeg[:factors] + b"\x13" + jpeg[factors + 1 :]
    path = tmp_path / "camera.mjpeg"
    path.write_bytes((jpeg * 31 + broken) + jpeg * 32)
    camera = FFmpegCamera("test", str(path), "mjpeg", [{}])
    camera.open()
    try:
        assert camera.poll() is None
        assert camera.poll() is not None
    finally:
        camera.close()


class FakePacket:
    """A packet as `demux` gives it."""

    is_corrupt = False

    def __init__(self, data: bytes, pts: int | None) -> None:
        self.size, self.pts, self._data = len(data), pts, data

    def decode(self) -> list[str]:
        return [self._data.decode()]


class FakeContainer:
    """Gives packets, then has nothing for now."""

    def __init__(self, packets: list[FakePacket]) -> None:
        self._packets = packets

    def demux(self, video: int) -> Iterator[FakePacket]:
        while self._packets:
            yield self._packets.pop(0)
        raise BlockingIOError


def test_a_picture_that_was_lost_on_the_way_is_not_the_end() -> None:
    """uvcvideo passes incomplete pictures on, and FFmpeg gives them as packets with a time and
    without data.
    """
    camera = FFmpegCamera("test", "", "v4l2", [])
    camera._container = FakeContainer([FakePacket(b"one", 1), FakePacket(b"", 2)])  # type: ignore[assignment]
    shot = camera.poll()
    assert shot is not None
    assert str(shot.picture) == "one"
    camera._container = FakeContainer([FakePacket(b"", 3)])  # type: ignore[assignment]
    assert camera.poll() is None
    camera._container = FakeContainer([FakePacket(b"", None)])  # type: ignore[assignment]
    with pytest.raises(SourceLost, match="the camera has ended"):
        camera.poll()


def test_a_camera_that_was_open_before_is_looked_for_where_it_is_now() -> None:
    asked = []

    def open_camera(where: str, size: Size, fps: float) -> ScriptedCamera:
        asked.append(where)
        return ScriptedCamera([shot(1_000_000 * len(asked))])

    places = iter(["/dev/video3", "/dev/video5"])
    source = WebcamSource(
        "", SourceRequest(), open_camera, remember=lambda path: lambda: f"{next(places)} was {path}"
    )
    frames = []
    for _ in range(3):
        with source:
            frames.append(source.read())
    assert asked == ["", "/dev/video3 was /dev/video7", "/dev/video5 was /dev/video7"]
    assert [frame and (frame.index, frame.pts_ns) for frame in frames] == [
        (0, 0),
        (1, 1_000_000),
        (2, 2_000_000),
    ]
