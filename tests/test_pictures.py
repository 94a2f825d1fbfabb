"""Still pictures keep what no effect changes: pixels, size, depth, colours, EXIF."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from tests.sources.media_files import assert_quadrants, quadrants
from vcam.effects.base import Effect, Scene, Stateless
from vcam.effects.composer import Composer
from vcam.effects.room import NoEffect, Remove
from vcam.errors import SourceError
from vcam.frame import Frame, Matte, Picture
from vcam.matting.pyramid import Pyramid
from vcam.matting.refine import RefineConfig
from vcam.monitor import Stats
from vcam.pictures import encode, lost, srgb_of
from vcam.sinks import SinkRequest, make_sink
from vcam.sources.base import SourceRequest
from vcam.sources.image import ImageSource, read_image, read_picture
from vcam.xmp import cleaned_xmp

CASES = Path(__file__).parent / "cases"
SIZE = (96, 64)
UPRIGHT = quadrants(SIZE)
STORED = {  # EXIF 2.32 section 4.6.5: what a camera stores for an upright picture
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.transpose(1, 0, 2),
    6: np.rot90(UPRIGHT, 1),
    7: UPRIGHT[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(UPRIGHT, -1),
}
FORMATS = ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"]


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[0x0112], found[0x010F] = orientation, "Maker"
    found.get_ifd(0x8769)[0x9003] = "2024:05:01 10:20:30"
    found.get_ifd(0x8769)[0x927C] = b"the maker's own words"
    found.get_ifd(0x8825)[1] = "N"
    return found


def save(path: Path, image: Image.Image, kind: str, **options: object) -> Path:
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    lossless = {"TIFF": {}, "PNG": {}, "WEBP": {"lossless": True}}.get(kind, {"quality": 95})
    image.save(path, kind, **{**lossless, **options})
    return path


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("orientation", STORED)
def test_every_orientation_of_every_format_is_upright(
    tmp_path: Path, kind: str, orientation: int, alpha: bool
) -> None:
    if kind == "JPEG" and alpha:
        pytest.skip("JPEG has no transparency")
    stored = np.ascontiguousarray(STORED[orientation])
    if alpha:
        stored = np.dstack([stored, np.full(stored.shape[:2], 128, np.uint8)])
    path = save(tmp_path / "x", Image.fromarray(stored), kind, exif=exif(orientation).tobytes())
    picture = read_picture(path)
    assert picture.size == SIZE
    assert np.abs(picture.pixels[..., :3].astype(int) - UPRIGHT).mean() < 4
    kept = Image.Exif()
    kept.load(picture.exif)
    assert 0x0112 not in kept
    assert kept[0x010F].rstrip("\0") == "Maker"


def test_a_heic_of_tiles_is_one_photo() -> None:
    pytest.importorskip("pillow_heif")
    image = read_image(CASES / "heic_of_tiles_1280x720.heic")
    assert image.shape == (720, 1280, 3)
    whole = read_image(CASES / "phone_motion_photo_jpeg_plus_mp4.jpg")
    assert np.abs(image.astype(int) - whole).mean() < 6


def test_a_heic_without_its_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    with pytest.raises(SourceError, match=r"tiles_1280x720\.heic: .*: pip install pillow-heif"):
        read_image(CASES / "heic_of_tiles_1280x720.heic")


def test_a_turn_in_the_container_of_an_avif_is_applied() -> None:
    image = read_image(CASES / "avif_turned_by_irot.avif")
    assert image.shape == (360, 640, 3)
    whole = read_image(CASES / "phone_motion_photo_jpeg_plus_mp4.jpg")
    small = cv2.resize(whole, (640, 360), interpolation=cv2.INTER_AREA)
    assert np.abs(image.astype(int) - small).mean() < 8


def jpeg() -> bytes:
    noise = np.random.default_rng(3).integers(0, 255, (48, 80, 3), np.uint8)
    into = io.BytesIO()
    Image.fromarray(cv2.GaussianBlur(noise, (0, 0), 2)).save(into, "JPEG", quality=90)
    return into.getvalue()


@pytest.mark.parametrize("progressive", [False, True])
def test_what_stands_behind_a_jpeg_is_not_looked_at(tmp_path: Path, progressive: bool) -> None:
    into = io.BytesIO()
    Image.open(io.BytesIO(jpeg())).save(into, "JPEG", quality=90, progressive=progressive)
    whole = into.getvalue()
    path = tmp_path / "x.jpg"
    path.write_bytes(whole)
    expected = read_image(path)
    rng = np.random.default_rng(4)
    tails = [b"SEFT\0\0\0\4", b"\xff\xda", *(rng.bytes(500) for _ in range(40))]
    for data in (*(whole + tail for tail in tails), whole[:-2]):  # the last has no end marker
        path.write_bytes(data)
        assert np.array_equal(read_image(path), expected)
    for cut in (whole[: len(whole) * 6 // 10], whole[:-12]):
        path.write_bytes(cut)
        with pytest.raises(SourceError, match=r"x\.jpg: .*truncated.*; copy it again"):
            read_image(path)


@cache
def swapped_profile() -> bytes:
    """sRGB with red and green swapped."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile)


def test_a_colour_profile_is_obeyed(tmp_path: Path) -> None:
    colour = np.full((8, 8, 3), (200, 40, 30), np.uint8)
    for kind in ("PNG", "JPEG", "WEBP", "TIFF", "AVIF"):
        path = save(tmp_path / "x", Image.fromarray(colour), kind, icc_profile=swapped_profile())
        shown = read_image(path)[4, 4].astype(int)
        assert np.abs(shown - (40, 200, 30)).max() <= 4, kind
        assert read_picture(path).icc == swapped_profile()


class Patch(Stateless):
    """An effect that changes a known part of the picture."""

    needs_matte = False
    needs_face = True

    def apply(self, scene: Scene) -> Frame:
        data = scene.frame.data.copy()
        out = Frame(data, scene.frame.matrix)
        out.y[10:20, 30:50] = 200
        return out


def run(path: Path, effect: Effect, sink: Path, *, strip: bool = False) -> None:
    with (
        ImageSource(str(path), SourceRequest()) as source,
        Composer([effect], RefineConfig(), Stats(), transparent=True, live=False) as composer,
        make_sink(str(sink), SinkRequest(overwrite=True, strip=strip)) as target,
    ):
        frame = source.read()
        assert frame is not None
        matte = Matte(np.tile(np.repeat(np.array([0, 255], np.uint8), 16), (32, 1)))
        target.send(composer.compose(frame, Pyramid.of(frame), matte))


def deep(channels: int) -> NDArray[np.uint16]:
    """uint16 [61, 77, channels], smooth enough for lossy files."""
    noise = np.random.default_rng(5).integers(0, 65535, (61, 77, channels)).astype(np.uint16)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 2), np.uint16)


def read_raw(path: Path) -> NDArray[np.uint16]:
    """[H, W, 3 or 4] RGB or RGBA as stored, 8 bits by Pillow and 16 by OpenCV."""
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert found is not None
    if found.dtype == np.uint8:
        return np.asarray(Image.open(path))
    return cast("NDArray[np.uint16]", found[..., [2, 1, 0, 3][: found.shape[2]]])


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_pixels_that_no_effect_touches_stay_at_any_depth_and_size(
    tmp_path: Path, suffix: str, channels: int
) -> None:
    eight = np.ascontiguousarray(deep(channels) >> 8).astype(np.uint8)
    for name, pixels in (("eight", eight), ("sixteen", deep(channels))):
        path = tmp_path / f"{name}{suffix}"
        path.write_bytes(encode(Picture(pixels), suffix))
        assert np.array_equal(read_raw(path), pixels)
        for effect, touched in ((NoEffect(), 0), (Patch(), 20 * 10)):
            run(path, effect, tmp_path / f"out{suffix}")
            out = read_raw(tmp_path / f"out{suffix}")
            assert (out.shape, out.dtype) == (pixels.shape, pixels.dtype)
            changed = (out != pixels).any(axis=2)
            assert touched * 0.9 <= changed.sum() <= touched
            assert not changed[20:].any()


def test_the_room_leaves_nothing_of_itself_in_changed_pixels(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(encode(Picture(deep(3)), ".png"))
    run(path, Remove((0, 255, 0)), tmp_path / "out.png")
    out = read_raw(tmp_path / "out.png")
    assert out.shape == (61, 77, 4)
    assert not out[:, :20, 3].any()
    assert not out[:, :20, :3].std(axis=(0, 1)).any()  # the colour to key on
    kept = out[:, 60:, 3] == 65535
    assert kept.mean() > 0.9
    assert np.array_equal(out[:, 60:, :3][kept], deep(3)[:, 60:][kept])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".avif", ".heic"])
@pytest.mark.parametrize("depth", [8, 16])
def test_exif_and_profile_are_written_back_without_the_orientation(
    tmp_path: Path, suffix: str, depth: int
) -> None:
    if suffix == ".heic":
        pytest.importorskip("pillow_heif")
    pixels = deep(3) if depth == 16 else (deep(3) >> 8).astype(np.uint8)
    picture = Picture(pixels, swapped_profile(), exif(1).tobytes())
    path = tmp_path / f"x{suffix}"
    path.write_bytes(encode(picture, suffix))
    back = read_picture(path)
    assert back.icc == swapped_profile()
    assert back.size == (77, 61)
    kept = Image.Exif()
    kept.load(back.exif)
    assert 0x0112 not in kept
    assert kept.get_ifd(0x8769)[0x9003].rstrip("\0") == "2024:05:01 10:20:30"
    assert kept.get_ifd(0x8825)[1].rstrip("\0") == "N"
    path.write_bytes(encode(picture, suffix, strip=True))
    back = read_picture(path)
    assert (back.icc, back.exif) == (b"", b"")
    assert np.abs(srgb_of(back).astype(int) - srgb_of(picture)).mean() < 6


def test_old_thumbnails_and_makers_previews_do_not_show_the_room(tmp_path: Path) -> None:
    image = Image.fromarray(np.random.default_rng(6).integers(0, 255, (64, 96, 3), np.uint8))
    path = save(tmp_path / "x.jpg", image, "JPEG", exif=exif(6).tobytes())
    for effect, keeps in ((Patch(), True), (Remove((0, 255, 0)), False)):
        run(path, effect, tmp_path / "out.jpg")
        assert (b"maker's own" in (tmp_path / "out.jpg").read_bytes()) is keeps


def test_a_jpeg_is_written_with_its_own_tables(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(jpeg())
    run(path, NoEffect(), tmp_path / "out.jpg")
    difference = read_image(path).astype(int) - read_image(tmp_path / "out.jpg")
    assert np.abs(difference).mean() < 0.5


def test_a_mirrored_photo_is_the_photo_mirrored(tmp_path: Path) -> None:
    path = save(tmp_path / "x.png", Image.fromarray(deep(3).astype(np.uint8)), "PNG")
    with ImageSource(str(path), SourceRequest(mirror=True)) as source:
        frame = source.read()
    assert frame is not None
    assert frame.picture is not None
    assert np.array_equal(frame.picture.pixels, deep(3).astype(np.uint8)[:, ::-1])
    save(path, Image.fromarray(UPRIGHT), "PNG")
    with ImageSource(str(path), SourceRequest(mirror=True)) as source:
        frame = source.read()
    assert frame is not None
    assert_quadrants(frame, [tuple(UPRIGHT[y, x]) for y, x in ((0, -1), (0, 0), (-1, -1), (-1, 0))])


def test_files_with_notes_that_pyav_does_not_know_and_single_gifs_are_pictures(
    tmp_path: Path,
) -> None:
    cv2.imwrite(str(tmp_path / "float.tiff"), UPRIGHT[..., ::-1].astype(np.float32) / 255)
    Image.fromarray(UPRIGHT).save(tmp_path / "one.gif")
    for name in ("float.tiff", "one.gif"):
        difference = read_image(tmp_path / name).astype(int) - UPRIGHT
        assert np.abs(difference).mean() < 4, name


XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
    ' xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"'
    ' xmlns:dc="http://purl.org/dc/elements/1.1/"'
    ' xmlns:GPano="http://ns.google.com/photos/1.0/panorama/"'
    ' xmlns:GImage="http://ns.google.com/photos/1.0/image/"'
    ' xmp:Rating="5" tiff:Orientation="6" GImage:Data="c2VjcmV0" GPano:PoseHeadingDegrees="7">'
    "<dc:title>Holiday</dc:title><dc:source>{}</dc:source>"
    "<xmp:Thumbnails>b2xk</xmp:Thumbnails></rdf:Description></rdf:RDF></x:xmpmeta>"
    '<?xpacket end="w"?>'
)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".avif", ".heic"])
@pytest.mark.parametrize("depth", [8, 16])
def test_xmp_is_written_back_without_what_is_stale(tmp_path: Path, suffix: str, depth: int) -> None:
    if suffix == ".heic":
        pytest.importorskip("pillow_heif")
    pixels = deep(3) if depth == 16 else (deep(3) >> 8).astype(np.uint8)
    packet = cleaned_xmp(XMP.format("a friend"))
    path = tmp_path / f"x{suffix}"
    path.write_bytes(encode(Picture(pixels, xmp=packet), suffix))
    back = read_picture(path)
    assert back.xmp == packet
    assert back.left_out == ()
    for kept in (b'xmp:Rating="5"', b"Holiday", b"a friend", b"GPano:Pose", b"<?xpacket"):
        assert kept in packet
    for stale in (b"Orientation", b"b2xk", b"c2VjcmV0"):
        assert stale not in packet
    path.write_bytes(encode(Picture(pixels, xmp=packet), suffix, strip=True))
    assert read_picture(path).xmp == b""


def test_xmp_does_not_show_the_room_and_odd_packets_are_none(tmp_path: Path) -> None:
    image = Image.fromarray(np.random.default_rng(6).integers(0, 255, (64, 96, 3), np.uint8))
    long = XMP.format("cm9vbQ" * 1000).encode()
    path = save(tmp_path / "x.jpg", image, "JPEG", xmp=long)
    for effect, keeps in ((Patch(), True), (Remove((0, 255, 0)), False)):
        run(path, effect, tmp_path / "out.jpg")
        content = (tmp_path / "out.jpg").read_bytes()
        assert b"Holiday" in content
        assert (b"cm9vbQ" in content) is keeps
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa">]><x>&a;</x>'
    for odd in (b"", None, b"\0" * 20, b"<x", b"text", bomb, b"<x/>" * 2, b"\xff\xfe<x/>"):
        assert cleaned_xmp(odd) == b""
    only_stale = XMP.format("").replace('xmp:Rating="5"', "").encode()
    assert b"Orientation" not in cleaned_xmp(only_stale)


def test_xmp_that_a_jpeg_cannot_hold_is_said() -> None:
    packet = XMP.format("x" * 70_000).encode()
    picture = Picture((deep(3) >> 8).astype(np.uint8), xmp=packet)
    assert lost(picture, ".jpg") == "XMP"
    assert lost(picture, ".png") == ""
    assert b"Holiday" not in encode(picture, ".jpg")


def test_ten_bits_stay_in_heic_and_are_said_to_be_lost_of_avif(tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif")
    ramp = np.linspace(0, 65535, 64 * 1024).astype(np.uint16).reshape(64, 1024)
    picture = Picture(np.dstack([ramp] * 3))
    assert lost(picture, ".heic") == "6 of its 16 bits"
    (tmp_path / "x.heic").write_bytes(encode(picture, ".heic"))
    back = read_picture(tmp_path / "x.heic")
    assert (back.depth, back.bits, lost(back, ".heic")) == (16, 10, "")
    assert lost(back, ".jpg") == "2 of its 10 bits"
    assert len(np.unique(back.pixels[..., 1])) > 500
    assert np.abs(back.pixels.astype(int) - picture.pixels).mean() < 300
    path = tmp_path / "x.avif"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libsvtav1", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p10le"
        frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 99, np.uint8), format="rgb24")
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    assert lost(read_picture(path), ".png") == "2 of its 10 bits"
