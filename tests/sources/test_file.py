"""Video files: every frame, in order, with the right colours, and one line where they are
broken.
"""

from __future__ import annotations

import os
import threading
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.data import SHARED, why_absent
from tests.sources.media_files import (
    QUADRANTS,
    assert_quadrants,
    brightness_index,
    counting,
    picture,
    quadrants,
    write_video,
)
from vcam.colour import to_rgb
from vcam.errors import SourceError
from vcam.frame import Frame, Matrix
from vcam.sinks import SinkRequest, make_sink
from vcam.sources.base import SourceRequest
from vcam.sources.file import VideoFile
from vcam.sources.inspect_file import missing_bytes
from vcam.sources.media import MediaClock

SIZE = (96, 64)
WEBCAM_A = SHARED / "data/video/webcam_a"


def read_all(path: Path, request: SourceRequest | None = None) -> list[Frame]:
    with VideoFile(str(path), request or SourceRequest()) as source:
        return list(iter(source.read, None))


def read_damaged(path: Path) -> tuple[list[Frame], str]:
    with VideoFile(str(path), SourceRequest()) as source:
        frames = list(iter(source.read, None))
        return frames, source.damage


@pytest.mark.parametrize(
    "name", ["clip.mp4", "clip.mkv", "clip.mov", "clip.avi", "clip.ts", "clip.without-suffix"]
)
def test_every_frame_comes_in_order(tmp_path: Path, name: str) -> None:
    path = write_video(
        tmp_path / ("made.mkv" if "without" in name else name), counting(SIZE, 20), fps=25
    )
    path = path.rename(tmp_path / name)
    with VideoFile(str(path), SourceRequest(fps=30)) as source:
        assert (source.name, source.size, source.fps, source.live, source.mode) == (
            name,
            SIZE,
            25.0,
            False,
            "",
        )
        assert source.frames == (20 if path.suffix in (".mp4", ".mov", ".avi") else None)
        before = time.monotonic_ns()
        frames = list(iter(source.read, None))
        assert source.read() is None
    assert (
        [brightness_index(frame) for frame in frames]
        == [frame.index for frame in frames]
        == list(range(20))
    )
    assert [round(frame.pts_ns / 1e6) for frame in frames] == list(range(0, 800, 40))
    assert frames[1].t_capture_ns >= before


def test_times_of_a_variable_rate_are_kept(tmp_path: Path) -> None:
    times = [0, 40, 80, 1000, 1040]
    with av.open(str(tmp_path / "vfr.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for t_ms, image in zip(times, counting(SIZE, 5), strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = t_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert [round(frame.pts_ns / 1e6) for frame in read_all(tmp_path / "vfr.mkv")] == times


def test_a_clock_bridges_leaps_and_missing_times() -> None:
    clock = MediaClock()
    times = [5.0, 5.1, None, 5.3, 0.0, 0.1, 1000.0, 1000.1]
    found = [clock.pts_ns(time_s, 100_000_000) for time_s in times]
    assert found == [
        0,
        100_000_000,
        200_000_000,
        300_000_000,
        400_000_000,
        500_000_000,
        600_000_000,
        700_000_000,
    ]


@pytest.mark.parametrize("matrix", Matrix)
@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "full"),
    [
        ("a.mp4", "libx264", "yuv420p", False),
        ("b.mp4", "libx264", "yuv420p", True),
        ("c.mp4", "libx264", "yuv422p", False),
        ("d.mkv", "ffv1", "yuv420p10le", False),
        ("e.mkv", "ffv1", "yuv444p", True),
    ],
)
def test_colour_labels_of_a_file_are_obeyed(
    tmp_path: Path, name: str, codec: str, pix_fmt: str, full: bool, matrix: Matrix
) -> None:
    frame = picture(quadrants(SIZE), pix_fmt, matrix, full)
    options = {"crf": "0"} if codec == "libx264" else {}
    path = write_video(tmp_path / name, [frame], codec, pix_fmt, options=options)
    (read,) = read_all(path)
    assert read.matrix is matrix
    assert_quadrants(read)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "matrix"),
    [
        ("jpeg.avi", "mjpeg", "yuvj422p", Matrix.BT601),
        ("png.mov", "png", "rgb24", Matrix.BT601),
        ("raw.nut", "rawvideo", "bgr0", Matrix.BT601),
        ("palette.gif", "gif", "rgb8", Matrix.BT601),
    ],
)
def test_codecs_that_bring_their_own_colours(
    tmp_path: Path, name: str, codec: str, pix_fmt: str, matrix: Matrix
) -> None:
    image = quadrants(SIZE, [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)])
    frame = picture(image, pix_fmt, Matrix.BT601, full=True) if pix_fmt.startswith("yuv") else image
    path = write_video(tmp_path / name, [frame], codec, pix_fmt, options={"qmin": "1", "qmax": "1"})
    (read,) = read_all(path)
    assert read.matrix is matrix
    assert_quadrants(read, [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)], within=6)


@pytest.mark.parametrize("suffix", [".ts", ".h264"])
@pytest.mark.parametrize("wanted", [None, (48, 48)])
def test_a_size_that_changes_midway_does_not_change_the_frames(
    tmp_path: Path, suffix: str, wanted: tuple[int, int] | None
) -> None:
    parts = [
        write_video(tmp_path / f"{size[0]}{suffix}", [quadrants(size)] * 4)
        for size in (SIZE, (160, 160))
    ]
    whole = tmp_path / f"whole{suffix}"
    whole.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames = read_all(whole, SourceRequest(size=wanted))
    assert len(frames) == 8
    assert {frame.size for frame in frames} == {wanted or SIZE}
    for frame in frames:
        assert_quadrants(frame, within=12)
    times = [frame.pts_ns for frame in frames]
    assert times == sorted(set(times))
    assert times[-1] < 1e9


def _with_display_matrix(path: Path, matrix: tuple[int, ...]) -> None:
    """Overwrite the display matrix in the mp4's track header (ISO/IEC 14496-12 section 8.3.2)."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    data[at : at + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in matrix)
    path.write_bytes(data)


ONE, W = 1 << 16, 1 << 30


@pytest.mark.parametrize(
    ("display", "size", "order"),
    [
        ((0, ONE, 0, -ONE, 0, 0, 64 << 16, 0, W), (64, 96), (2, 0, 3, 1)),  # a quarter clockwise
        ((-ONE, 0, 0, 0, -ONE, 0, 96 << 16, 64 << 16, W), (96, 64), (3, 2, 1, 0)),
        ((0, -ONE, 0, ONE, 0, 0, 0, 96 << 16, W), (64, 96), (1, 3, 0, 2)),
    ],
)
def test_the_rotation_that_a_phone_notes_is_applied(
    tmp_path: Path, display: tuple[int, ...], size: tuple[int, int], order: tuple[int, ...]
) -> None:
    path = write_video(tmp_path / "phone.mp4", [quadrants(SIZE)] * 2, options={"crf": "1"})
    _with_display_matrix(path, display)
    for wanted in (None, (32, 32)):
        frames = read_all(path, SourceRequest(size=wanted))
        assert {frame.size for frame in frames} == {wanted or size}
        assert_quadrants(frames[0], [QUADRANTS[which] for which in order], within=6)


def test_mirror_and_size_and_matrix_are_obeyed(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", [quadrants(SIZE)] * 2, options={"crf": "1"})
    for frame in read_all(path, SourceRequest(size=(48, 48), mirror=True, matrix=Matrix.BT709)):
        assert (frame.size, frame.matrix) == ((48, 48), Matrix.BT709)
        assert_quadrants(frame, [QUADRANTS[1], QUADRANTS[0], QUADRANTS[3], QUADRANTS[2]], within=6)


def test_odd_sizes_are_made_even(tmp_path: Path) -> None:
    path = write_video(tmp_path / "odd.mkv", [quadrants((97, 65))], "ffv1", "yuv444p")
    (frame,) = read_all(path)
    assert frame.size == SIZE
    assert_quadrants(frame)


NOISE = list(np.random.default_rng(1).integers(0, 255, (24, 64, 96, 3), np.uint8))


@pytest.mark.parametrize(
    ("name", "options"), [("cut.mp4", {"movflags": "faststart"}), ("cut.mkv", {}), ("cut.avi", {})]
)
def test_a_truncated_file_delivers_what_it_has_and_says_so(
    tmp_path: Path, name: str, options: dict[str, str]
) -> None:
    path = write_video(
        tmp_path / name, NOISE, "mpeg4", options={"g": "1"}, container_options=options
    )
    assert missing_bytes(str(path)) == 0
    assert len(read_all(path)) == 24
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 6 // 10])
    frames, message = read_damaged(path)
    assert 5 <= len(frames) < 20
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    assert "copy it again" in message or "plays elsewhere" in message


def test_a_damaged_frame_is_left_out_and_counted(tmp_path: Path) -> None:
    path = write_video(tmp_path / "bad.mov", NOISE[:6], "png", "rgb24")
    data = bytearray(path.read_bytes())
    at = [at for at in range(len(data)) if data.startswith(b"\x89PNG", at)][3]
    data[at : at + 200] = bytes(200)
    path.write_bytes(data)
    frames, message = read_damaged(path)
    assert [round(frame.pts_ns * 30 / 1e9) for frame in frames] == [0, 1, 2, 4, 5]
    assert "bad.mov: 1 damaged place" in message


def _cut_before_index(path: Path) -> None:
    write_video(path, counting(SIZE, 5))
    path.write_bytes(path.read_bytes()[:700])


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        (
            "gone.mp4",
            lambda path: None,
            "gone.mp4: no such file; check the spelling, or try --source demo",
        ),
        ("folder", lambda path: path.mkdir(), "folder: is a directory; name a file in it"),
        ("empty.mp4", lambda path: path.touch(), "empty.mp4: the file is empty"),
        (
            "text.mp4",
            lambda path: path.write_text("hello\n" * 99),
            "text.mp4: it is damaged, or no video or image",
        ),
        (
            "text.txt",
            lambda path: path.write_text("hello\n" * 99),
            "text.txt: it is a text file; give a video",
        ),
        (
            "zeros.mp4",
            lambda path: path.write_bytes(bytes(5000)),
            "zeros.mp4: it is damaged, or no video or image",
        ),
        (
            "cut.mp4",
            _cut_before_index,
            "cut.mp4: it is damaged, or no video or image; check that it plays elsewhere",
        ),
    ],
)
def test_what_is_no_video_is_one_line(
    tmp_path: Path, name: str, make: object, message: str
) -> None:
    path = tmp_path / name
    assert callable(make)
    make(path)
    source = VideoFile(str(path), SourceRequest())
    with pytest.raises(SourceError) as caught, source:
        pass
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    source.close()


def test_sound_without_a_picture_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(
            np.zeros((1, 8000), np.int16), format="s16", layout="mono"
        )
        sound.rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(
        SourceError, match=r"sound\.wav: it holds no video; give a video or an image"
    ):
        read_all(tmp_path / "sound.wav")


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = write_video(tmp_path / "secret.mp4", counting(SIZE, 2))
    path.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(
            SourceError, match=r"secret\.mp4: permission denied; check who may read it"
        ):
            read_all(path)
    finally:
        os.seteuid(user)


def test_interrupt_ends_the_reading(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", counting(SIZE, 5))
    with VideoFile(str(path), SourceRequest()) as source:
        assert source.read() is not None
        thread = threading.Thread(target=source.interrupt)
        thread.start()
        thread.join()
        source.interrupt()
        assert source.read() is None


def test_closing_is_harmless_at_any_time(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", counting(SIZE, 5))
    source = VideoFile(str(path), SourceRequest())
    source.close()
    with source:
        pass
    source.close()
    path.unlink()


@pytest.mark.parametrize("name", ["webcam_a_720p.mp4", "webcam_a_1080p.mp4"])
def test_a_real_clip(name: str) -> None:
    path = WEBCAM_A / name
    if not path.exists():
        pytest.skip(why_absent(path))
    with VideoFile(str(path), SourceRequest(size=(640, 360))) as source:
        assert (source.fps, source.frames) == (30.0, 100)
        frames = list(iter(source.read, None))
    assert len(frames) == 100
    assert {frame.size for frame in frames} == {(640, 360)}
    assert 60 < to_rgb(frames[50]).mean() < 200


CASES = Path(__file__).parents[1] / "cases"


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
@pytest.mark.parametrize(
    ("name", "end_s"),
    [
        ("gif_last_picture_1.6s.gif", 2.0),
        ("avi_with_null_frames_2.0s.avi", 2.0),
        ("animated.webp", 1.2),
    ],
)
def test_every_picture_keeps_its_length_there_and_back(
    tmp_path: Path, name: str, end_s: float, suffix: str
) -> None:
    path = tmp_path / f"out{suffix}"
    with make_sink(str(path), SinkRequest(variable_rate=True)) as sink:
        frames = read_all(CASES / name)
        for frame in frames:
            sink.send(frame)
    back = read_all(path)
    assert len(back) == len(frames)
    for all_of_one in (frames, back):
        end_ns = all_of_one[-1].pts_ns + all_of_one[-1].duration_ns
        assert end_ns / 1e9 == pytest.approx(end_s, abs=0.002)
    assert [f.pts_ns // 2_000_000 for f in back] == pytest.approx(
        [f.pts_ns // 2_000_000 for f in frames], abs=1
    )
