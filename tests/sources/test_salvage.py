"""Truncated pictures: what is there stays, what is missing is grey, and one line says so."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.cli.test_cli import vcam as run_vcam
from tests.sources.test_file import read_damaged
from vcam.errors import SourceError
from vcam.sources.base import SourceRequest
from vcam.sources.image import ImageSource, read_image, read_picture

RNG = np.random.default_rng(4)
COARSE = cv2.resize(RNG.integers(0, 255, (26, 13, 3), np.uint8), (152, 312))
PHOTO = np.clip(COARSE.astype(int) + RNG.integers(-9, 9, COARSE.shape), 0, 255).astype(np.uint8)
KINDS: dict[str, tuple[dict[str, Any], int]] = {  # how its rows come, and how near they are
    "jpeg": ({"quality": 95}, 5),
    "png": ({}, 0),
    "webp": ({"quality": 95}, 6),
    "bmp": ({}, 0),
    "ppm": ({}, 0),
    "tiff": ({}, 0),
    "avif": ({"quality": 95}, 6),
}


def stored(kind: str, picture: Image.Image | None = None, **options: Any) -> bytes:
    into = io.BytesIO()
    (picture or Image.fromarray(PHOTO)).save(into, kind, **options)
    return into.getvalue()


def cut(path: Path, data: bytes, share: float) -> Path:
    path.write_bytes(data[: int(len(data) * share)])
    return path


@pytest.mark.parametrize("share", [0.4, 0.75])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_came_stay_and_the_rest_is_grey(tmp_path: Path, kind: str, share: float) -> None:
    options, within = KINDS[kind]
    path = cut(tmp_path / f"cut.{kind}", stored(kind, **options), share)
    picture = read_picture(path)
    is_grey = (np.abs(picture.pixels.astype(int) - 128) <= 1).all(axis=(1, 2))
    assert 1 - share - 0.05 < is_grey.mean() < 1 - share + 0.2
    there = np.flatnonzero(~is_grey)
    sure = slice(there[0], there[-1] + 1 - 16) if kind == "jpeg" else slice(there[0], there[-1] + 1)
    difference = np.abs(picture.pixels.astype(int) - PHOTO)
    assert difference[sure].mean() <= within
    percent = int(picture.damage.split("truncated, ")[1].split(" %")[0])
    assert abs(percent / 100 - is_grey.mean()) < 0.06  # a JPEG shows parts of its last rows
    with pytest.raises(SourceError, match="truncated"):
        read_image(path)


def test_a_deep_png_keeps_its_depth_and_a_turned_photo_is_upright(tmp_path: Path) -> None:
    deep = np.asarray(PHOTO, np.uint16) * 257
    data = cv2.imencode(".png", deep[..., ::-1])[1].tobytes()
    picture = read_picture(cut(tmp_path / "deep.png", data, 0.5))
    assert (picture.depth, picture.size) == (16, (152, 312))
    assert np.array_equal(picture.pixels[:140], deep[:140])
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: what came first is on the right
    turned = read_picture(cut(tmp_path / "turned.jpg", stored("jpeg", exif=exif), 0.5))
    assert turned.size == (312, 152)
    there = np.rot90(PHOTO, -1)[:, -120:]
    assert np.abs(turned.pixels[:, -120:].astype(int) - there).mean() < 8
    assert np.ptp(turned.pixels[:, :90].astype(int)) <= 2


@pytest.mark.parametrize("share", [0.4, 0.5, 0.7, 0.9, 0.99])
def test_a_progressive_jpeg_is_coarse_until_its_last_scan_has_come(
    tmp_path: Path, share: float
) -> None:
    data = stored("jpeg", progressive=True)
    picture = read_picture(cut(tmp_path / "cut.jpg", data, share))
    assert "parts of the picture are coarse" in picture.damage
    assert np.abs(picture.pixels.astype(int) - PHOTO).mean() < 35
    (tmp_path / "endless.jpg").write_bytes(data[:-2])
    assert read_picture(tmp_path / "endless.jpg").damage == ""


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "bmp", "avif", "jpeg2000"])
def test_of_a_picture_of_which_hardly_anything_came_nothing_is_made(
    tmp_path: Path, kind: str
) -> None:
    path = cut(tmp_path / "cut.png", stored(kind), 0.06)
    with pytest.raises(SourceError, match=r"cut\.png: ") as refused:
        read_picture(path)
    assert "\n" not in str(refused.value)


def test_a_gif_that_ends_inside_of_a_picture_is_damaged_and_one_without_trailer_is_not(
    tmp_path: Path,
) -> None:
    data = stored("gif", Image.fromarray(PHOTO).convert("P"))
    for end, damage in ((len(data) // 2, "truncated after 1 frame"), (-1, ""), (None, "")):
        path = tmp_path / "x.gif"
        path.write_bytes(data[:end])
        frames, said = read_damaged(path)
        assert len(frames) == 1
        assert damage in said
        assert bool(said) is bool(damage)


@pytest.mark.slow
def test_the_command_line_keeps_it_and_says_so(tmp_path: Path) -> None:
    path = cut(tmp_path / "photo.jpg", stored("jpeg"), 0.6)
    with ImageSource(str(path), SourceRequest()) as source:
        assert "missing and grey" in source.damage
    out = tmp_path / "out.png"
    done = run_vcam("run", "-s", path, "-e", "none", "-o", out)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "photo.jpg: truncated, " in done.stderr
    assert np.array_equal(np.asarray(Image.open(out)), read_picture(path).pixels)
    done = run_vcam("mask", path, "--out", tmp_path / "masks", "-v")
    assert done.returncode == 3
    assert "skipped" not in done.stderr
    assert "1 mask in" in done.stderr
    assert (tmp_path / "masks" / "photo.png").is_file()
