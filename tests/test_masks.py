"""`vcam mask`: overlays, palettes, classes, names, folders and films."""

from __future__ import annotations

import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.catalogues import write_catalogue
from tests.cli.test_cli import vcam
from vcam.masks import CLASS_NAMES, PALETTES, legend

CASES = Path(__file__).parent / "cases"


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue whose engine calls green things person."""
    return write_catalogue(tmp_path_factory.mktemp("engines"))


def green(engines: Path) -> tuple[object, ...]:
    return ("--engines", engines, "--engine", "green_fp32")


def picture(path: Path) -> NDArray[np.uint8]:
    image = np.full((64, 96, 3), (90, 0, 160), np.uint8)
    image[:, 48:] = (20, 255, 40)
    Image.fromarray(image).save(path)
    return image


def read(path: Path) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path))


def test_an_overlay_colours_people_and_nothing_else(tmp_path: Path, engines: Path) -> None:
    image = picture(tmp_path / "x.png")
    done = vcam(
        "mask", tmp_path / "x.png", "--out", tmp_path / "m", "--overlay", 0.5, *green(engines)
    )
    assert (done.returncode, done.stderr) == (0, "")
    laid = read(tmp_path / "m" / "x.png")
    assert np.array_equal(laid[:, :40], image[:, :40])
    assert np.abs(laid[:, 60:].astype(int) - (30, 238, 65)).max() <= 1


def test_a_suffix_keeps_two_masks_of_one_picture_apart(tmp_path: Path, engines: Path) -> None:
    picture(tmp_path / "x.png")
    for arguments in (("--suffix", "_hard"), ("--suffix", "_soft", "--heatmap", "person"), ()):
        out = ("--out", tmp_path / "m")
        done = vcam("mask", tmp_path / "x.png", *out, *green(engines), *arguments)
        assert (done.returncode, done.stderr) == (0, "")
    names = [path.name for path in sorted((tmp_path / "m").iterdir())]
    assert names == ["x.png", "x_hard.png", "x_soft.png"]


def test_folders_keep_their_folders_and_skip_what_cannot_be_read(
    tmp_path: Path, engines: Path
) -> None:
    folder = tmp_path / "holiday"
    (folder / "day two").mkdir(parents=True)
    for name in ("a.png", "day two/b.png", "._a.png", "notes.txt"):
        picture(folder / "a.png")
        shutil.copy(folder / "a.png", folder / name) if name != "a.png" else None
    (folder / "notes.txt").write_text("hello")
    common = ("mask", folder, "--out", folder / "masks", "--recursive", "-y", *green(engines))
    for _ in range(2):
        done = vcam(*common)
        assert (done.returncode, done.stderr) == (0, "")
    masks = folder / "masks"
    found = sorted(str(p.relative_to(masks)) for p in masks.rglob("*.png"))
    assert found == ["a.png", "day two/b.png"]
    (folder / "x.cr2").write_bytes(b"II*\0" + bytes(60))
    done = vcam(*common)
    assert done.returncode == 3
    assert "x.cr2: camera raw files cannot be read" in done.stderr


def test_masks_of_people_are_upright_and_of_the_whole_photo(tmp_path: Path, engines: Path) -> None:
    pytest.importorskip("pillow_heif")
    names = ("heic_of_tiles_1280x720.heic", "avif_turned_by_irot.avif")
    done = vcam("mask", *(CASES / name for name in names), "--out", tmp_path, *green(engines))
    assert (done.returncode, done.stderr) == (0, "")
    assert read(tmp_path / "heic_of_tiles_1280x720.png").shape == (720, 1280)
    assert read(tmp_path / "avif_turned_by_irot.png").shape == (360, 640)


def decoded(path: Path, decoder: str = "") -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        if not decoder:
            return list(container.decode(video=0))
        context = av.CodecContext.create(decoder, "r")
        assert isinstance(context, av.VideoCodecContext)
        packets = container.demux(container.streams.video[0])
        return [f for packet in packets if packet.size for f in context.decode(packet)]


def test_a_film_of_masks_is_as_long_as_the_film(tmp_path: Path, engines: Path) -> None:
    film = CASES / "mp4_with_text_after_last_box.mp4"
    for suffix in ("mp4", "mov", "webm"):
        done = vcam("mask", film, "--out", tmp_path, "--film", suffix, *green(engines))
        assert (done.returncode, done.stderr) == (0, "")
    grey = decoded(tmp_path / f"{film.stem}.mp4")
    assert len(grey) == 60
    chroma = [np.asarray(plane) for plane in (bytes(grey[5].planes[1]), bytes(grey[5].planes[2]))]
    assert all(set(plane.item()) <= {127, 128, 129} for plane in chroma)
    alpha = decoded(tmp_path / f"{film.stem}.mov")[5]
    assert alpha.format.name.startswith("yuva444p")
    transparent = decoded(tmp_path / f"{film.stem}.webm", "libvpx-vp9")[5]
    assert transparent.format.name == "yuva420p"
    luma = grey[5].to_ndarray(format="gray").astype(int)
    assert luma.std() > 10
    alpha_plane = transparent.to_ndarray(format="rgba")[..., 3].astype(int)
    assert np.abs(luma - alpha_plane)[alpha_plane > 40].mean() < 6


def test_films_have_masks_of_people_only(tmp_path: Path, engines: Path) -> None:
    film = CASES / "gif_last_picture_1.6s.gif"
    done = vcam("mask", film, "--out", tmp_path, "--labels", *green(engines))
    assert done.returncode == 2
    assert "masks of people only" in done.stderr


def test_palettes_and_their_legend(tmp_path: Path) -> None:
    drawn = legend("easyportrait")
    for number, colour in enumerate(PALETTES["easyportrait"]):
        assert tuple(drawn[4 + 28 * number + 14, 24]) == colour
    assert all(len(colours) == len(CLASS_NAMES) for colours in PALETTES.values())
