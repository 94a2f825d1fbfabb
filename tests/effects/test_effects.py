"""Effects on planes: what they show, what they hide, and how they are written."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.helpers import PERSON, SENTINEL, SIZE, frame_of, room_is_hidden
from vcam.backends.fake import centre_is_person
from vcam.colour import from_rgb, to_rgb, ycbcr_of
from vcam.effects import EFFECTS, make_effect, parse_effect
from vcam.effects.blur import sigma_px
from vcam.effects.composer import Composer
from vcam.errors import SourceError, UsageError
from vcam.frame import Frame, Matrix, Matte
from vcam.matting.pyramid import Pyramid
from vcam.matting.refine import RefineConfig
from vcam.monitor import Stats

MATTE = Matte(centre_is_person(np.zeros((64, 64, 3), np.uint8)))


def _compose(*effects: str, frame: Frame | None = None, transparent: bool = False) -> Frame:
    composer = Composer(
        [make_effect(e) for e in effects],
        RefineConfig(),
        Stats(),
        transparent=transparent,
        live=False,
    )
    with composer:
        shown = frame or frame_of()
        return composer.compose(shown, Pyramid.of(shown), MATTE)


def _is(frame: Frame, row: int, column: int, rgb: tuple[int, int, int], tolerance: int = 6) -> bool:
    return bool(np.abs(to_rgb(frame)[row, column].astype(int) - rgb).max() <= tolerance)


@pytest.mark.parametrize(
    "text", ["blur:0", "blur", "blur:strength=1", "color", "color:#102030", "remove", "remove:blue"]
)
def test_the_person_stays_and_the_room_goes(text: str) -> None:
    picture = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    picture[:, ::2] = (255, 255, 255)  # a room of stripes: blurred, it is grey
    picture[SIZE[1] // 4 : SIZE[1] * 3 // 4, SIZE[0] // 4 : SIZE[0] * 3 // 4] = PERSON
    before = from_rgb(picture, Matrix.BT601)
    after = _compose(text, frame=before)
    centre = np.s_[36:60, 60:100]
    assert np.abs(after.y[centre].astype(int) - before.y[centre]).max() <= 1
    stripes = after.y[4:20, 4:30].astype(int)
    assert (
        np.abs(np.diff(stripes, axis=1)).max()
        < 60
        < np.abs(np.diff(before.y[4:20, 4:30].astype(int), axis=1)).max()
    )
    assert (after.size, after.matrix, after.index) == (before.size, before.matrix, before.index)


@pytest.mark.parametrize("text", ["color:#203040", "remove:#203040"])
def test_no_pixel_of_the_room_is_left(text: str) -> None:
    after = _compose(text)
    assert room_is_hidden(after)
    assert _is(after, 4, 4, (0x20, 0x30, 0x40))
    assert not room_is_hidden(frame_of())


def test_blur_leaves_the_person_out_of_what_is_blurred() -> None:
    """A bright person before a dark room: a plain blur would make the room glow around
    the person.
    """
    frame = frame_of(room=(20, 20, 20), person=(250, 250, 250))
    after = _compose("blur:1", frame=frame)
    ring = after.y[SIZE[1] // 2, SIZE[0] // 4 - 14 : SIZE[0] // 4 - 8]
    assert int(ring.max()) <= int(frame.y[0, 0]) + 4


def test_blur_grows_with_strength_and_with_the_frame() -> None:
    sigmas = [sigma_px(s, 720) for s in (0, 0.25, 0.5, 0.75, 1)]
    assert sigmas == sorted(sigmas)
    assert 3 < sigmas[0] < 6
    assert 30 < sigmas[-1] < 45
    assert sigma_px(0.5, 1440) == pytest.approx(2 * sigma_px(0.5, 720))


def test_blur_keeps_the_mean_colour_of_a_flat_room() -> None:
    after = _compose("blur:1", frame=frame_of(room=(90, 140, 60)))
    assert _is(after, 4, 4, (90, 140, 60), tolerance=4)


def test_none_gives_the_picture_itself() -> None:
    frame = frame_of()
    assert _compose("none", frame=frame) is frame


def test_effects_apply_in_order() -> None:
    assert _is(_compose("blur", "color:#00ff00"), 4, 4, (0, 255, 0))
    after = _compose("color:#00ff00", "blur")
    assert _is(after, 4, 4, (0, 255, 0), tolerance=8)
    assert room_is_hidden(after)


def test_remove_is_transparent_where_the_sink_can_and_keeps_no_room_colour() -> None:
    after = _compose("remove", transparent=True)
    assert after.alpha is not None
    assert after.alpha[4, 4] == 0
    assert after.alpha[SIZE[1] // 2, SIZE[0] // 2] == 255
    assert room_is_hidden(after)
    assert _is(after, SIZE[1] // 2, SIZE[0] // 2, PERSON)


@pytest.mark.parametrize("name", ["room.png", "room, left=1.png"])
def test_image_covers_without_stretching(tmp_path: Path, name: str) -> None:
    wide = np.zeros((100, 400, 3), np.uint8)
    wide[:, 200:] = 255
    cv2.imwrite(str(tmp_path / name), wide)
    after = to_rgb(_compose(f"image:{tmp_path / name}"))
    assert after[4, 70].max() < 8
    assert after[4, 90].min() > 247
    assert after[90, 4].max() < 8


def test_image_that_is_none_is_refused_before_any_frame(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"missing\.png"):
        _compose(f"image:{tmp_path / 'missing.png'}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("blurr", "unknown effect 'blurr'; known: none, blur, image"),
        ("blur:2", "strength '2' is not a number from 0 to 1"),
        ("blur:strength=x", "strength 'x'"),
        ("blur:sigma=3", "effect 'blur' has no key 'sigma'; known: strength"),
        ("none:3", "effect 'none' takes no value"),
        ("image", "effect 'image' needs a path; write image:PATH"),
        ("color:#12", "color '#12' is not #rrggbb"),
        ("color:mauve", "none of black, blue"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        make_effect(text)
    assert "\n" not in str(caught.value)


def test_every_effect_of_the_table_can_be_made() -> None:
    for name, spec in EFFECTS.items():
        assert make_effect(f"{name}:#102030" if spec.required else name)


def test_colors_by_name_and_code() -> None:
    assert parse_effect("color:Green") == ("color", {"color": "#00ff00"})
    assert EFFECTS["color"].params[0].parse("#0a0B0c") == (10, 11, 12)


def test_the_sentinel_is_recognised() -> None:
    assert ycbcr_of(SENTINEL, Matrix.BT601)[2] > 200
