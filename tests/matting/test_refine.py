"""Refinement, smoothing and blending of mattes."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.matting.plain import plain_alpha, plain_blend
from vcam.colour import from_rgb
from vcam.effects.blend import blend_person
from vcam.frame import Frame, Matrix, Matte, Size
from vcam.matting.pyramid import Pyramid, halve, resized
from vcam.matting.refine import Mask, RefineConfig, refine
from vcam.matting.smooth import MatteSmoother
from vcam.matting.tiles import Tiles

WIDTH, HEIGHT = 640, 360


def _scene(shift: int = 0) -> tuple[Frame, np.ndarray]:
    """A bright disc before a dark wall, and its exact alpha."""
    alpha = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.circle(alpha, (320 + shift, 200), 90, 255, -1)
    picture = np.where(alpha[..., None] > 0, np.uint8(190), np.uint8(60)).repeat(3, axis=2)
    return from_rgb(picture, Matrix.BT601), alpha


def _coarse(alpha: np.ndarray, size: int = 120) -> Matte:
    small = cv2.resize(alpha, (size, size), interpolation=cv2.INTER_AREA)
    return Matte(np.asarray(cv2.GaussianBlur(small, (0, 0), 1), np.uint8))


def _error(plane: np.ndarray, alpha: np.ndarray) -> float:
    return float(np.abs(plane.astype(float) - alpha).mean())


def test_refinement_follows_the_edge_in_the_picture() -> None:
    frame, alpha = _scene()
    matte = _coarse(alpha)
    plain = cv2.resize(matte.alpha, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    low = Pyramid.of(frame).low
    refined = refine(matte, frame.y, low.y, RefineConfig()).full(frame.size)
    assert _error(refined, alpha) < 0.45 * _error(np.asarray(plain), alpha)


def test_far_from_the_person_alpha_is_exactly_zero_and_inside_exactly_full() -> None:
    frame, alpha = _scene()
    mask = refine(_coarse(alpha), frame.y, Pyramid.of(frame).low.y, RefineConfig()).full(frame.size)
    assert mask[:, :100].max() == 0
    assert mask[170:230, 290:350].min() == 255


def test_texture_of_the_room_does_not_pass_for_person_where_the_engine_is_sure() -> None:
    """Dots of the person's own luma cover the wall."""
    frame, alpha = _scene()
    dots = np.zeros(alpha.shape, bool)
    dots[::4, ::4] = True
    frame.y[dots & (alpha == 0)] = frame.y[200, 320]
    small = cv2.resize(alpha, (160, 90), interpolation=cv2.INTER_AREA)
    matte = Matte(np.asarray(small, np.uint8))
    mask = refine(matte, frame.y, Pyramid.of(frame).low.y, RefineConfig()).full(frame.size)
    reach = np.ones((25, 25), np.uint8)  # 12 pixels: one of the matte, and the filter's window
    assert mask[cv2.dilate(alpha, reach) == 0].max() == 0
    assert mask[cv2.erode(alpha, reach) == 255].min() == 255


def test_a_patterned_room_stays_empty_where_the_engine_has_a_faint_doubt() -> None:
    """The doubt, 5 of 255, follows a pattern of dots that only the full frame resolves."""
    rows, columns = np.mgrid[:720, :1280]
    dotted = (rows // 32 + columns // 32) % 2 == 0
    frame = Frame.empty((1280, 720), Matrix.BT601)
    frame.y[:] = np.where(dotted & (rows % 4 == 0) & (columns % 4 == 0), 235, 20)
    frame.chroma[:] = 128
    doubt = cv2.resize(np.where(dotted, np.uint8(5), np.uint8(0)), (160, 90))
    low = Pyramid.of(frame).low
    mask = refine(Matte(np.asarray(doubt, np.uint8)), frame.y, low.y, RefineConfig())
    assert mask.full(frame.size).max() == 0


def _busy_scene(size: Size) -> tuple[Frame, Matte]:
    """Two people of noisy luma before a noisy room, one cut by the frame's lower right corner."""
    width, height = size
    rng = np.random.default_rng(3)
    alpha = np.zeros((height, width), np.uint8)
    cv2.ellipse(alpha, (width // 3, height), (width // 6, height * 2 // 3), 0, 0, 360, 255, -1)
    cv2.circle(alpha, (width, height), height // 3, 255, -1)
    small = rng.integers(0, 90, (height // 4 + 1, width // 4 + 1), np.uint8)
    noise = cv2.resize(small, size, interpolation=cv2.INTER_CUBIC)
    frame = Frame.empty(size, Matrix.BT601)
    frame.y[:] = np.where(alpha > 0, 120, 40) + noise
    frame.chroma[:] = rng.integers(16, 240, frame.chroma.shape, np.uint8)
    return frame, _coarse(alpha)


SIZES = [(640, 360), (1280, 720), (1920, 1080), (720, 1280), (1366, 768)]


@pytest.mark.parametrize("size", SIZES)
def test_tiles_give_the_alpha_of_the_whole_frame(size: Size) -> None:
    frame, matte = _busy_scene(size)
    low = Pyramid.of(frame).low.y
    tiled = refine(matte, frame.y, low, RefineConfig()).full(size)
    plain = plain_alpha(matte, frame.y, low)
    assert 0.1 < (plain == 255).mean() < 0.5
    assert ((plain > 0) & (plain < 255)).mean() > 0.01
    assert np.abs(tiled.astype(int) - plain).max() <= 1


@pytest.mark.parametrize("size", SIZES)
def test_tiles_give_the_blend_of_the_whole_frame(size: Size) -> None:
    frame, matte = _busy_scene(size)
    mask = refine(matte, frame.y, Pyramid.of(frame).low.y, RefineConfig())
    room = Frame(np.full_like(frame.data, 77), Matrix.BT601)
    out = Frame(room.data.copy(), Matrix.BT601)
    blend_person(frame, mask, out)
    plain = plain_blend(frame, mask.full(size), room)
    assert np.abs(out.data.astype(int) - plain.data).max() <= 1
    assert (out.y[mask.full(size) == 0] == 77).all()
    assert (out.y[mask.full(size) == 255] == frame.y[mask.full(size) == 255]).all()


def test_only_tiles_at_the_outline_are_worked_on() -> None:
    frame, matte = _busy_scene((1280, 720))
    mask = refine(matte, frame.y, Pyramid.of(frame).low.y, RefineConfig())
    assert 0.02 < mask.alpha.size / frame.y.size < 0.25
    assert len(mask.inside) < 2.5 * frame.y.shape[0] / mask.edge.height  # two people in a row


@pytest.mark.parametrize("feather", [0.0, 12.0])
def test_every_pixel_is_in_one_kind_of_tile_only(feather: float) -> None:
    frame, matte = _busy_scene((1280, 720))
    mask = refine(matte, frame.y, Pyramid.of(frame).low.y, RefineConfig(feather_px=feather))
    kinds = np.zeros_like(frame.y)
    for top, bottom, left, right in mask.inside.tolist():
        kinds[top:bottom, left:right] |= 1
    mask.edge.put(kinds, np.bitwise_or(mask.edge.of(kinds), np.uint8(2)))
    assert set(np.unique(kinds)) == {0, 1, 2}


def test_nobody_means_an_empty_mask() -> None:
    frame, alpha = _scene()
    mask = refine(
        Matte(np.zeros((56, 56), np.uint8)), frame.y, Pyramid.of(frame).low.y, RefineConfig()
    )
    assert not len(mask.edge)
    assert not len(mask.inside)
    assert mask.full(frame.size).max() == 0
    assert alpha.any()


@pytest.mark.parametrize(("grow", "more"), [(12.0, True), (-12.0, False)])
def test_grow_widens_and_narrows(grow: float, more: bool) -> None:
    frame, alpha = _scene()
    flat = np.full_like(frame.y, 128)  # no edges to be drawn to
    low = halve(flat)
    plain = refine(_coarse(alpha), flat, low, RefineConfig()).full(frame.size)
    grown = refine(_coarse(alpha), flat, low, RefineConfig(grow_px=grow)).full(frame.size)
    change = (int((grown > 127).sum()) - int((plain > 127).sum())) / (2 * np.pi * 90)
    assert (8 < change < 18) if more else (-18 < change < -8)


def test_feather_softens_the_edge() -> None:
    frame, alpha = _scene()
    low = Pyramid.of(frame).low.y
    hard = refine(_coarse(alpha), frame.y, low, RefineConfig()).full(frame.size)
    soft = refine(_coarse(alpha), frame.y, low, RefineConfig(feather_px=8)).full(frame.size)
    between = [int(((m > 10) & (m < 245)).sum()) for m in (hard, soft)]
    assert between[1] > 1.5 * between[0]


@pytest.mark.parametrize("size", [(2, 2), (34, 18), (502, 282), (854, 480), (1366, 768)])
def test_any_even_size_works(size: tuple[int, int]) -> None:
    frame = Frame.empty(size, Matrix.BT601)
    frame.data[:] = 128
    matte = Matte(np.full((32, 32), 255, np.uint8))
    mask = refine(matte, frame.y, Pyramid.of(frame).low.y, RefineConfig())
    assert mask.full(size).shape == (size[1], size[0])
    assert mask.full(size).min() == 255


def test_smoothing_calms_a_trembling_matte_of_a_still_picture() -> None:
    rng = np.random.default_rng(1)
    luma = np.full((HEIGHT, WIDTH), 100, np.uint8)
    smoother = MatteSmoother()
    mattes = [
        np.clip(128 + rng.normal(0, 12, (56, 56)), 0, 255).astype(np.uint8) for _ in range(40)
    ]
    smooth = [smoother.smooth(Matte(m), luma).alpha.astype(float) for m in mattes]
    raw_change = np.abs(np.diff([m.astype(float) for m in mattes[10:]], axis=0)).mean()
    assert np.abs(np.diff(smooth[10:], axis=0)).mean() < 0.45 * raw_change


def test_smoothing_leaves_no_trail_behind_a_moving_person() -> None:
    smoother = MatteSmoother()
    for shift in range(0, 200, 8):
        frame, alpha = _scene(shift)
        low = Pyramid.of(frame).low.y
        matte = _coarse(alpha)
        smooth = smoother.smooth(matte, low).alpha
    assert np.abs(smooth.astype(int) - resized(matte.alpha, low)).max() <= 26


def test_a_faint_ghost_of_a_matte_fades_within_a_third_of_a_second() -> None:
    smoother = MatteSmoother()
    luma = np.full((HEIGHT, WIDTH), 100, np.uint8)
    smoother.smooth(Matte(np.full((56, 56), 60, np.uint8)), luma)
    for _ in range(10):
        smooth = smoother.smooth(Matte(np.zeros((56, 56), np.uint8)), luma).alpha
    assert smooth.max() <= 3


def test_smoothing_does_not_change_its_input() -> None:
    smoother = MatteSmoother()
    matte = Matte(np.full((8, 8), 200, np.uint8))
    luma = np.zeros((16, 16), np.uint8)
    smoother.smooth(matte, luma)
    smoother.smooth(Matte(np.zeros((8, 8), np.uint8)), luma)
    assert matte.alpha.min() == 200


def test_blend_is_exact_at_both_ends_and_within_a_level_between() -> None:
    rng = np.random.default_rng(2)
    person, room = (
        Frame(rng.integers(16, 236, (96, 64), np.uint8), Matrix.BT601) for _ in range(2)
    )
    alpha = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (64, 1))
    alpha[:, :8], alpha[:, -8:] = 0, 255
    out = Frame(room.data.copy(), Matrix.BT601)
    whole = Tiles(64, 64, np.zeros(1, np.intp), np.zeros(1, np.intp))
    nobody = Mask.nobody(np.zeros((1, 1), np.uint8))
    blend_person(person, replace(nobody, edge=whole, alpha=alpha), out)
    share = alpha.astype(float) / 255
    expected = person.y * share + room.y * (1 - share)
    assert np.abs(out.y - expected).max() <= 1
    for ours, shown, hidden in zip(out.planes, person.planes, room.planes, strict=True):
        width = ours.shape[1] // 8
        assert (ours[:, -width:] == shown[:, -width:]).all()
        assert (ours[:, :width] == hidden[:, :width]).all()
