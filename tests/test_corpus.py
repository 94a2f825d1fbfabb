"""Films of every kind that cameras, phones and recorders write, beside FFmpeg's own reading.

The oracle is the command `ffmpeg` if it is installed, else its filters through PyAV. Pictures are
in test_pictures.py.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.filter
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from tests.sources.media_files import quadrants
from vcam.colour import to_rgb
from vcam.errors import SourceError
from vcam.frame import Frame
from vcam.sources.base import SourceRequest
from vcam.sources.convert import FrameMaker
from vcam.sources.file import VideoFile
from vcam.sources.presentation import Notes, Presenter

pytestmark = pytest.mark.slow

CASES = Path(__file__).parent / "cases"
FFMPEG = shutil.which("ffmpeg")
SIZE = (96, 64)
ONE, W = 1 << 16, 1 << 30
Rgb = NDArray[np.uint8]
Filters = Sequence[tuple[str, str]]


def read(path: Path) -> tuple[list[Frame], str]:
    with VideoFile(str(path), SourceRequest()) as source:
        frames = list(iter(source.read, None))
        return frames, source.damage


def end_s(frames: Sequence[Frame]) -> float:
    return (frames[-1].pts_ns + frames[-1].duration_ns) / 1e9


def image() -> Rgb:
    """Four colours, a gradient and a mark in one corner: every turn and mirror is another one."""
    rgb = quadrants(SIZE)
    rgb[:12, :20] = (250, 240, 20)
    rgb[40:, 60:] = np.linspace(40, 220, 36).astype(np.uint8)[None, :, None]
    return rgb


def write(
    path: Path,
    rgb: Rgb,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    sar: Fraction | None = None,
    colours: tuple[int, int, int] = (2, 2, 2),
    times: Sequence[int] = (0, 40, 80),
    options: dict[str, str] | None = None,
) -> Path:
    """Encode one picture at some milliseconds. colours: primaries, transfer, matrix (H.273)."""
    lossless = {"libx264": {"crf": "4"}, "libx265": {"x265-params": "log-level=0:crf=4"}}
    given = lossless.get(codec, {}) if options is None else options
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=given)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = rgb.shape[1], rgb.shape[0], pix_fmt
        context = stream.codec_context
        context.time_base = Fraction(1, 1000)
        if sar is not None:
            context.sample_aspect_ratio = sar
        context.color_primaries, context.color_trc, context.colorspace = colours
        matrix = {9: "BT2020"}.get(colours[2])
        for at_ms in times:
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame = frame.reformat(format=pix_fmt, dst_colorspace=9 if matrix else None)
            frame.color_primaries, frame.color_trc = colours[:2]
            frame.pts, frame.time_base = at_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def by_filters(path: Path, filters: Filters) -> Rgb:
    """uint8 [H, W, 3]: the first picture through FFmpeg's filters."""
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        graph = av.filter.Graph()
        last = graph.add(
            "buffer",
            f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base=1/1000:"
            f"pixel_aspect=1:colorspace={int(frame.colorspace)}:range={int(frame.color_range)}",
        )
        scale = ("scale", "flags=bilinear+accurate_rnd+full_chroma_int")
        for name, argument in (*filters, scale, ("format", "rgb24"), ("buffersink", "")):
            link = graph.add(name, argument)
            last.link_to(link)
            last = link
        graph.configure()
        graph.push(frame)
        graph.push(None)
        return np.asarray(graph.vpull().to_ndarray(format="rgb24"), np.uint8)


def by_command(path: Path, filters: str = "null") -> Rgb | None:
    """What the command `ffmpeg` shows first, its pixels made square; None if there is none."""
    if FFMPEG is None:
        return None
    square = r"scale=round(iw*max(sar\,1)/2)*2:round(ih/min(sar\,1)/2)*2,setsar=1"
    command = [FFMPEG, "-v", "error", "-i", str(path), "-frames:v", "1", "-vf"]
    command += [f"{filters},{square},format=rgb24", "-c:v", "ppm", "-f", "image2pipe", "-"]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    kind, width, height, peak = data.split(maxsplit=4)[:4]
    assert (kind, peak) == (b"P6", b"255")
    shape = (int(height), int(width), 3)
    return np.frombuffer(data[-int(np.prod(shape)) :], np.uint8).reshape(shape)


def assert_shown(frame: Frame, expected: Rgb | None, within: float) -> None:
    """Sizes are equal but for an odd last row and column; colours on the mean and nearly all."""
    if expected is None:
        return
    shown = to_rgb(frame)
    height, width = (side & ~1 for side in expected.shape[:2])
    assert shown.shape == (height, width, 3)
    difference = np.abs(shown.astype(int) - expected[:height, :width])
    assert difference.mean() < within, difference.mean()
    assert np.median(difference) <= within


RAW_FORMATS = (
    *("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "yuv440p", "yuv411p"),
    *("yuv410p", "nv12", "nv21", "yuyv422", "uyvy422", "yvyu422", "yuv420p10le", "yuv422p10le"),
    *(
        "yuv444p10le",
        "yuv420p12le",
        "yuv422p12le",
        "yuv444p12le",
        "yuv420p16le",
    ),
    *("gray", "gray10le", "gray12le", "gray16le", "rgb24", "bgr24", "bgr0", "rgb0"),
    *(
        "0rgb",
        "rgba",
        "bgra",
        "argb",
        "gbrp",
        "gbrp10le",
        "gbrp12le",
        "gbrap",
        "rgb48le",
        "bgr48le",
    ),
    *(
        "rgb565le",
        "rgb555le",
        "yuva420p",
        "yuva422p",
        "yuva444p",
        "yuva444p10le",
        "rgba64le",
        "ya8",
    ),
)


@pytest.mark.parametrize("pix_fmt", RAW_FORMATS)
def test_every_pixel_format(tmp_path: Path, pix_fmt: str) -> None:
    path = write(tmp_path / "raw.nut", image(), "rawvideo", pix_fmt)
    frames, damage = read(path)
    assert (len(frames), damage) == (3, "")
    shown = by_filters(path, ())
    wanted = image() if "gray" not in pix_fmt and pix_fmt != "ya8" else shown
    assert np.abs(shown.astype(int) - wanted).mean() < 12, "the file itself is not as meant"
    assert_shown(frames[0], shown, 6.0)
    assert_shown(frames[0], by_command(path), 6.0)


TURNS = {  # the nine numbers of a display matrix, and what FFmpeg's command does for them
    "as it is": ((ONE, 0, 0, 0, ONE, 0, 0, 0, W), ()),
    "right": ((0, ONE, 0, -ONE, 0, 0, 64 << 16, 0, W), (("transpose", "clock"),)),
    "half": ((-ONE, 0, 0, 0, -ONE, 0, 0, 0, W), (("hflip", ""), ("vflip", ""))),
    "left": ((0, -ONE, 0, ONE, 0, 0, 0, 96 << 16, W), (("transpose", "cclock"),)),
    "mirrored": ((-ONE, 0, 0, 0, ONE, 0, 0, 0, W), (("hflip", ""),)),
    "upside down": ((ONE, 0, 0, 0, -ONE, 0, 0, 0, W), (("vflip", ""),)),
    "right, mirrored": ((0, ONE, 0, ONE, 0, 0, 0, 0, W), (("transpose", "cclock_flip"),)),
    "left, mirrored": ((0, -ONE, 0, -ONE, 0, 0, 0, 0, W), (("transpose", "clock_flip"),)),
    "a little": (
        (63303, 16962, 0, -16962, 63303, 0, 0, 0, W),
        (("rotate", "0.261799388"),),
    ),
}


def with_display_matrix(path: Path, matrix: Sequence[int]) -> Path:
    """Overwrite the display matrix in the track header (ISO/IEC 14496-12 section 8.3.2)."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    data[at : at + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in matrix)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("sar", [None, Fraction(4, 3), Fraction(2, 3)])
@pytest.mark.parametrize("turn", TURNS)
def test_every_turn_and_mirror_with_every_shape_of_pixels(
    tmp_path: Path, turn: str, sar: Fraction | None
) -> None:
    matrix, filters = TURNS[turn]
    path = with_display_matrix(write(tmp_path / "phone.mp4", image(), sar=sar), matrix)
    frames, _ = read(path)
    wide, high = (128, 64) if sar and sar > 1 else (96, 96) if sar else SIZE
    assert sorted(frames[0].size) == sorted((wide, high))
    square = (("scale", f"{wide}:{high}"),) if sar else ()
    assert_shown(frames[0], by_filters(path, (*square, *filters)), 3.0)
    if turn != "a little" or sar is None:  # the command turns before pixels are made square
        assert_shown(frames[0], by_command(path), 3.0)


@pytest.mark.parametrize(("transfer", "suffix"), [(16, ".mkv"), (18, ".mp4")])
def test_hdr_is_tone_mapped_as_ffmpeg_does(tmp_path: Path, transfer: int, suffix: str) -> None:
    path = write(
        tmp_path / f"hdr{suffix}", image(), "libx265", "yuv420p10le", colours=(9, transfer, 9)
    )
    frames, _ = read(path)
    to_709 = "out_primaries=bt709:out_transfer=bt709:out_color_matrix=bt709:intent=perceptual"
    assert_shown(frames[0], by_filters(path, (("scale", to_709),)), 8.0)
    plain = by_filters(path, ())
    assert np.abs(to_rgb(frames[0]).astype(int) - plain).mean() > 15


def test_wide_gamut_becomes_bt709(tmp_path: Path) -> None:
    path = write(tmp_path / "p3.mp4", image(), "libx264", "yuv420p", colours=(12, 1, 1))
    frames, _ = read(path)
    shown = to_rgb(frames[0])[20:28, 24:40].mean(axis=(0, 1))  # (200, 40, 30) in Display P3
    plain = to_rgb(read(write(tmp_path / "709.mp4", image(), colours=(1, 1, 1)))[0][0])
    assert shown[0] - plain[20:28, 24:40].mean(axis=(0, 1))[0] > 8
    grey = to_rgb(frames[0])[34:38, 50:58].mean(axis=(0, 1))
    assert np.ptp(grey - plain[34:38, 50:58].mean(axis=(0, 1))) < 8


@pytest.mark.parametrize(("size", "pix_fmt"), [((97, 65), "yuv444p"), ((95, 64), "yuv420p10le")])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int], pix_fmt: str) -> None:
    path = write(tmp_path / "odd.mkv", quadrants(size), "ffv1", pix_fmt)
    frames, _ = read(path)
    assert_shown(frames[0], by_filters(path, ()), 4.0)


def test_interlaced_pictures_are_deinterlaced() -> None:
    path = CASES / "interlaced_tff.mp4"
    frames, _ = read(path)
    assert (len(frames), frames[0].size) == (30, (854, 480))
    assert end_s(frames) == pytest.approx(1.2, abs=0.002)
    chain = (("bwdif", "mode=send_frame"), ("scale", "854:480"))
    assert_shown(frames[0], by_filters(path, chain), 4.0)
    comb = [np.abs(np.diff(f.y.astype(int), 2, axis=0)).mean() for f in frames[5:8]]
    with av.open(str(path)) as container:
        stored = [f.to_ndarray(format="gray").astype(int) for f in container.decode(video=0)]
    combed = [np.abs(np.diff(plane, 2, axis=0)).mean() for plane in stored[5:8]]
    assert np.mean(comb) < 0.75 * np.mean(combed)


TIMES = {
    "even": (0, 40, 80, 120),
    "uneven": (0, 40, 1000, 1033, 1500),
    "a still of 90 s": (0, 500, 90_500, 90_540),
    "starts late": (700, 740, 780),
}


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
@pytest.mark.parametrize("name", TIMES)
def test_pictures_are_shown_when_the_container_says(tmp_path: Path, name: str, suffix: str) -> None:
    codec = "libvpx-vp9" if suffix == ".webm" else "libx264"
    path = write(tmp_path / f"vfr{suffix}", image(), codec, times=TIMES[name])
    frames, damage = read(path)
    first = TIMES[name][0]
    assert [round(f.pts_ns / 1e6) for f in frames] == pytest.approx(
        [at - first for at in TIMES[name]], abs=1
    )
    assert damage == ""
    assert 0 < frames[-1].duration_ns < 1e9


@pytest.mark.parametrize("codec", ["mpeg4", "libx264", "mjpeg"])
def test_avi_with_and_without_b_frames(tmp_path: Path, codec: str) -> None:
    options = {"bf": "2"} if codec != "mjpeg" else {}
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    times = range(0, 400, 40)
    path = write(tmp_path / "x.avi", image(), codec, pix_fmt, times=times, options=options)
    frames, _ = read(path)
    assert len(frames) == 10
    assert [round(f.pts_ns / 1e6) for f in frames] == pytest.approx(list(times), abs=1)


class Counted:
    """A converter that counts the pictures that it had to make."""

    def __init__(self) -> None:
        self.made = 0
        self._converter = VideoReformatter()

    def reformat(self, picture: av.VideoFrame, **wanted: Any) -> av.VideoFrame:
        shown = self._converter.reformat(picture, **wanted)
        self.made += shown is not picture
        return shown


@pytest.mark.parametrize(
    ("size", "pix_fmt", "conversions"),
    [(None, "yuv420p", 0), ((640, 360), "yuv420p", 0), ((320, 180), "yuv420p", 1),
     ((480, 360), "yuv420p", 0), ((320, 320), "yuv420p", 1), (None, "yuv422p", 1)],
)  # fmt: skip
def test_pictures_are_converted_once_at_most_and_plain_ones_never(
    size: tuple[int, int] | None, pix_fmt: str, conversions: int
) -> None:
    """Pixels of a plain film are copied once, into the frame: nothing of them changes."""
    maker = FrameMaker(SourceRequest(size=size))
    counted = Counted()
    maker._to_i420 = maker._scale = counted  # type: ignore[assignment]
    with av.open(str(CASES / "video_with_sound.mp4")) as container:
        pictures = [picture.reformat(format=pix_fmt) for picture in container.decode(video=0)]
    for picture in pictures[:5]:
        frame = maker.make(picture, 0)
        if not size and not conversions:
            plane = np.frombuffer(memoryview(picture.planes[0]), np.uint8)
            rows = plane.reshape(-1, picture.planes[0].line_size)[:, : picture.width]
            assert np.array_equal(frame.y, rows)
    assert counted.made == 5 * conversions


def clean_aperture(path: Path) -> Path:
    """Insert a `clap` box of 80x48, two pixels right of the middle, into the only sample entry."""
    data = bytearray(path.read_bytes())
    numbers = (80, 1, 48, 1, 2, 1, 0, 1)
    box = (40).to_bytes(4, "big") + b"clap" + b"".join(n.to_bytes(4, "big") for n in numbers)
    places = [data.index(name) - 4 for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl")]
    places += [data.index(b"stsd") - 4, data.index(b"avc1", data.index(b"stsd")) - 4]
    entry = places[-1]
    at = entry + int.from_bytes(data[entry : entry + 4], "big")
    data[at:at] = box
    for place in places:
        size = int.from_bytes(data[place : place + 4], "big") + len(box)
        data[place : place + 4] = size.to_bytes(4, "big")
    path.write_bytes(data)
    return path


def test_a_clean_aperture_is_what_is_shown(tmp_path: Path) -> None:
    path = clean_aperture(write(tmp_path / "clap.mov", image()))
    frames, _ = read(path)
    assert frames[0].size == (80, 48)
    assert_shown(frames[0], by_filters(path, (("crop", "80:48:10:8:exact=1"),)), 3.0)


def cropped(path: Path, crop: dict[int, int]) -> Path:
    """Put PixelCrop elements (RFC 9559, 5.1.4.1.28) in the place of the colours of the only video
    track of a Matroska file.
    """
    data = bytearray(path.read_bytes())
    at = data.index(b"\x55\xb0")  # Colour
    length = data[at + 2] & 0x7F
    assert data[at + 2] & 0x80
    elements = b"".join(name.to_bytes(2, "big") + b"\x81" + bytes([n]) for name, n in crop.items())
    rest = 3 + length - len(elements) - 2
    elements += b"\xec" + bytes([0x80 | rest]) + bytes(rest)  # Void
    data[at : at + 3 + length] = elements
    path.write_bytes(data)
    return path


def test_the_crop_of_matroska_is_what_is_shown(tmp_path: Path) -> None:
    crop = {0x54AA: 2, 0x54BB: 6, 0x54CC: 10}  # bottom, top, left
    path = cropped(write(tmp_path / "crop.mkv", image(), colours=(1, 1, 1)), crop)
    frames, _ = read(path)
    width, height = SIZE
    assert frames[0].size == (width - 10, height - 8)
    assert_shown(frames[0], by_filters(path, (("crop", "iw-10:ih-8:10:6:exact=1"),)), 3.0)


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_transparency_of_webm_is_laid_on_white(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "alpha.webm"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"auto-alt-ref": "0"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuva420p"
        rgba = np.dstack([image(), np.full(SIZE[::-1], 255, np.uint8)])
        rgba[:, 48:, 3] = 0
        for index in range(3):
            frame = av.VideoFrame.from_ndarray(rgba, format="rgba").reformat(format="yuva420p")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    frames, _ = read(path)
    shown = to_rgb(frames[0])
    assert shown[:, 56:].min() > 245
    assert np.abs(shown[24:30, 10:40].astype(int) - image()[24:30, 10:40]).mean() < 20


def test_a_cover_is_no_film(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="it holds no video"):
        read(CASES / "sound_only_with_cover.m4a")


TAILS = {
    "text": b"<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?>" + bytes(60),
    "a tag": b"TAG" + b"Title".ljust(125),
    "a large number": b"\xff\xff\xff\xffudta" + bytes(20),
    "one byte": b"x",
    "zeros": bytes(64),
}


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
@pytest.mark.parametrize("tail", TAILS)
def test_what_stands_behind_a_film_is_no_damage(tmp_path: Path, tail: str, suffix: str) -> None:
    path = write(tmp_path / f"x{suffix}", image(), "mpeg4", times=range(0, 400, 40), options={})
    path.write_bytes(path.read_bytes() + TAILS[tail])
    frames, damage = read(path)
    assert (len(frames), damage) == (10, "")


@pytest.mark.parametrize("off", [-70, 8])
def test_a_size_of_an_avi_that_is_off_is_no_damage(tmp_path: Path, off: int) -> None:
    path = write(tmp_path / "x.avi", image(), "mpeg4", times=range(0, 400, 40), options={})
    data = bytearray(path.read_bytes())
    data[4:8] = (int.from_bytes(data[4:8], "little") + off).to_bytes(4, "little")
    path.write_bytes(data)
    frames, damage = read(path)
    assert (len(frames), damage) == (10, "")


ODD = {  # name in cases: frames, (width, height), seconds
    "anamorphic_pal_16to9_720x576_sar64-45.mp4": (36, (1024, 576), 1.2),
    "animated.webp": (3, (320, 180), 1.2),
    "avi_with_null_frames_2.0s.avi": (30, (320, 180), 2.0),
    "gif_last_picture_1.6s.gif": (3, (320, 180), 2.0),
    "interlaced_tff.mp4": (30, (854, 480), 1.2),
    "mirrored_by_display_matrix.mp4": (60, (640, 360), 2.0),
    "mp4_with_text_after_last_box.mp4": (60, (640, 360), 2.0),
    "own_transparent_output.webm": (9, (640, 360), 0.3),
    "phone_hlg_bt2020_10bit.mov": (24, (640, 360), 0.8),
    "video_with_sound.mp4": (60, (640, 360), 2.0),
}


@pytest.mark.parametrize("name", ODD)
def test_the_odd_files_of_people(name: str) -> None:
    frames, damage = read(CASES / name)
    count, size, seconds = ODD[name]
    assert (len(frames), frames[0].size, damage) == (count, size, "")
    assert end_s(frames) == pytest.approx(seconds, abs=0.002)
    if name in ("mirrored_by_display_matrix.mp4", "video_with_sound.mp4"):
        assert_shown(frames[0], by_command(CASES / name), 3.0)


def test_a_plain_film_is_not_converted_on_the_way() -> None:
    presenter = Presenter(Notes())
    with av.open(str(CASES / "video_with_sound.mp4")) as container:
        for picture in container.decode(video=0):
            assert [shown is picture for shown in presenter.show(picture)] == [True]
    assert list(presenter.rest()) == []
