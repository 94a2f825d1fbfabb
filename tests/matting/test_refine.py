"""Refinement, smoothing and blending of mattes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from vcam.effects.blend import blend_person
from vcam.frame import Frame, Matrix, Matte, from_rgb
from vcam.matting.pyramid import Pyramid, halve
from vcam.matting.refine import Box, Mask, Part, RefineConfig, refine
from vcam.matting.smooth import MatteSmoother

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


def test_the_parts_hold_the_whole_person_and_not_the_whole_frame() -> None:
    frame, alpha = _scene()
    mask = refine(_coarse(alpha), frame.y, Pyramid.of(frame).low.y, RefineConfig())
    boxes = [part.box for part in mask.parts]
    assert sum(box.area for box in boxes) < WIDTH * HEIGHT * 0.4
    covered = np.zeros_like(alpha)
    for box in boxes:
        assert all(edge % 2 == 0 for edge in (box.top, box.bottom, box.left, box.right))
        box.of(covered)[:] += 1
    assert covered.max() == 1
    assert covered[alpha > 0].min() == 1


def test_the_borders_between_parts_are_not_seen() -> None:
    """A person that fills the frame's width: at the borders alpha changes no more than within the
    parts.
    """
    ramp = np.tile(np.linspace(0, 255, 224), (224, 1)).astype(np.uint8)
    frame = from_rgb(
        np.tile(np.linspace(40, 220, WIDTH).astype(np.uint8)[None, :, None], (HEIGHT, 1, 3)),
        Matrix.BT601,
    )
    mask = refine(Matte(ramp), frame.y, Pyramid.of(frame).low.y, RefineConfig())
    assert len(mask.parts) > 1
    plane = mask.full(frame.size)[20:-20, 80:-80].astype(int)
    assert np.abs(np.diff(plane, axis=0)).max() <= 1


def test_nobody_means_an_empty_mask() -> None:
    frame, alpha = _scene()
    mask = refine(
        Matte(np.zeros((56, 56), np.uint8)), frame.y, Pyramid.of(frame).low.y, RefineConfig()
    )
    assert mask.parts == ()
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
        matte = _coarse(alpha)
        smooth = smoother.smooth(matte, frame.y).alpha
    assert np.abs(smooth.astype(int) - matte.alpha).max() <= 26


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
    blend_person(person, Mask((Part(Box(0, 64, 0, 64), alpha),), np.zeros((1, 1), np.float32)), out)
    share = alpha.astype(float) / 255
    expected = person.y * share + room.y * (1 - share)
    assert np.abs(out.y - expected).max() <= 1
    for ours, shown, hidden in zip(out.planes, person.planes, room.planes, strict=True):
        width = ours.shape[1] // 8
        assert (ours[:, -width:] == shown[:, -width:]).all()
        assert (ours[:, :width] == hidden[:, :width]).all()
