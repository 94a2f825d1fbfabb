"""Face effects on a mesh, with a painted face of which every area is known."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.face.drawing import apply
from tests.face.known import Head
from vcam.colour import from_rgb
from vcam.effects.areas import box_around, filled, iris_circle, lips_area, mouth_area, skin_area
from vcam.effects.outlines import (
    BROWS,
    EYES,
    LEFT_EYE,
    LIPS_INNER,
    LIPS_OUTER,
    Points,
    outline,
    raised_oval,
    smooth_outline,
)
from vcam.face.fake import planes_of
from vcam.face.parse import parse_square, unparsed
from vcam.frame import FaceClass, FaceGates, FaceRegions, Frame, Matrix
from vcam.geometry import Box

SIZE = (640, 480)
WHOLE = Box(0, SIZE[1], 0, SIZE[0])
HEAD = Head(320, 240, 260)
SKIN, LIPS, TEETH, WHITE, IRIS, HAIR = (
    (205, 150, 125),
    (170, 85, 88),
    (215, 205, 175),
    (228, 224, 222),
    (95, 62, 42),
    (90, 65, 50),
)
MAKEUP = ("brows:black,strength=1", "blush:rose,strength=1", "eyeshadow:blue,strength=1")
COLOURFUL = (*MAKEUP, "lips:red,strength=1", "eyes:blue,strength=1", "teeth:1", "concealer:1")


def _open_mouth(points: Points) -> Points:
    """The same face with its lips a little apart."""
    opened = points.copy()
    top, bottom = points[13, 1], points[14, 1]
    low = [n for n in LIPS_INNER if points[n, 1] > (top + bottom) / 2]
    opened[low, 1] += 10
    lower = [n for n in LIPS_OUTER if points[n, 1] > bottom]
    opened[lower, 1] += 10
    return opened


def _painted(points: Points) -> np.ndarray:
    picture = np.full((SIZE[1], SIZE[0], 3), (90, 100, 110), np.uint8)

    def paint(corners: np.ndarray, colour: tuple[int, int, int]) -> None:
        mask = filled([smooth_outline(corners)], WHOLE)[..., None] / 255
        picture[:] = np.rint(picture * (1 - mask) + np.array(colour) * mask)

    paint(raised_oval(points), SKIN)
    paint(outline(points, LIPS_OUTER), LIPS)
    paint(outline(points, LIPS_INNER), TEETH)
    for brow in BROWS:
        paint(outline(points, brow), HAIR)
    for side, eye in enumerate(EYES):
        lids = filled([smooth_outline(outline(points, eye))], WHOLE)
        paint(outline(points, eye), WHITE)
        x, y, radius = iris_circle(points, side)
        disc = np.zeros(lids.shape, np.uint8)
        cv2.circle(disc, (round(x * 16 - 8), round(y * 16 - 8)), round(radius * 16), 255, -1, 16, 4)
        inside = (cv2.multiply(lids, disc, scale=1 / 255) / 255.0)[..., None]
        picture[:] = np.rint(picture * (1 - inside) + np.array(IRIS) * inside)
    return picture


def _face(points: Points, gates: FaceGates | None = None) -> FaceRegions:
    return replace(unparsed(points), gates=gates)


def _frame(points: Points) -> Frame:
    return from_rgb(_painted(points), Matrix.BT601)


def _change(before: Frame, after: Frame) -> np.ndarray:
    """The largest change of a pixel's luma or chroma, in levels."""
    y, u, v = (np.abs(a.astype(int) - b) for a, b in zip(after.planes, before.planes, strict=True))
    return np.maximum(y, np.maximum(u, v).repeat(2, axis=0).repeat(2, axis=1))


def _inside(*outlines: np.ndarray, margin: int = 0) -> np.ndarray:
    mask = filled([smooth_outline(o) for o in outlines], WHOLE) > 127
    if margin:
        side = np.ones((2 * abs(margin) + 1,) * 2, np.uint8)
        change = cv2.dilate if margin > 0 else cv2.erode
        mask = np.asarray(change(mask.astype(np.uint8), side)) > 0
    return mask


POINTS = _open_mouth(HEAD.points)


def test_lips_take_the_colour_and_teeth_and_skin_do_not() -> None:
    frame = _frame(POINTS)
    change = _change(frame, apply("lips:red,strength=1", frame, _face(POINTS)))
    outer, inner = outline(POINTS, LIPS_OUTER), outline(POINTS, LIPS_INNER)
    assert change[_inside(outer, inner, margin=-3)].mean() > 15
    assert not change[~_inside(outer, margin=5)].any()
    assert change[_inside(inner, margin=-3)].max() <= 1


def test_edges_lie_between_pixels() -> None:
    areas = []
    for shift in (0.0, 0.3):
        points = POINTS.copy()
        points[:, 0] += shift
        area = lips_area(_face(points), SIZE)
        assert area is not None
        weight = area.mask.astype(float)
        columns = np.arange(area.box.left, area.box.right) + 0.5
        areas.append(float((weight.sum(axis=0) * columns).sum() / weight.sum()))
    assert areas[1] - areas[0] == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("angle", [0.6, np.pi / 2, np.pi])
def test_a_turned_face_gets_its_lips_where_they_are(angle: float) -> None:
    points = Head(320, 240, 260, angle).points
    frame = _frame(points)
    change = _change(frame, apply("lips:red,strength=1", frame, _face(points)))
    where = _inside(outline(points, LIPS_OUTER), margin=5)
    assert change[where].mean() > 6
    assert not change[~where].any()


def test_a_shut_gate_keeps_lips_and_eyes_as_they_are() -> None:
    frame, side = _frame(POINTS), np.zeros((8, 8), np.uint8)
    shut = _face(POINTS, FaceGates(side, side, 1.0))
    for text in ("lips:red,strength=1", "eyes:blue,strength=1", "teeth:1"):
        assert (apply(text, frame, shut).data == frame.data).all()


@pytest.mark.parametrize("colour", [SKIN, (40, 40, 44)])
def test_what_covers_half_a_mouth_keeps_its_colour(colour: tuple[int, int, int]) -> None:
    """A hand or a microphone, of which the parser says no more than that the mouth is not whole."""
    picture = _painted(POINTS)
    middle = POINTS[[13, 14], :2].mean(axis=0)
    covered = np.s_[int(middle[1]) - 40 : int(middle[1]) + 50, int(middle[0]) : int(middle[0]) + 90]
    noise = np.random.default_rng(1).normal(0, 3, picture[covered].shape)
    picture[covered] = np.clip(np.array(colour) + noise, 0, 255)
    frame = from_rgb(picture, Matrix.BT601)
    labels = _inside(raised_oval(POINTS)).astype(np.uint8) * FaceClass.SKIN
    seen = _inside(outline(POINTS, LIPS_OUTER), outline(POINTS, LIPS_INNER))
    seen[:, int(middle[0]) :] = False
    labels[seen] = FaceClass.LIPS
    crop = parse_square(POINTS)
    probs = planes_of(labels.astype(np.uint8), crop)
    everywhere = np.full(probs.shape[1:], 255, np.uint8)
    gates = FaceGates(everywhere, everywhere, 0.4)
    face = FaceRegions(probs, crop.to_frame(probs.shape[2]), points=POINTS, gates=gates)
    change = _change(frame, apply("lips:red,strength=1", frame, face))
    lips = _inside(outline(POINTS, LIPS_OUTER))
    on_thing, free = np.zeros_like(lips), np.zeros_like(lips)
    on_thing[covered] = lips[covered]
    on_thing[:, : int(middle[0]) + 4] = False
    free[:, : int(middle[0]) - 4] = lips[:, : int(middle[0]) - 4]
    assert on_thing.sum() > 500
    assert change[on_thing].mean() < 2
    if colour == SKIN:
        assert change[free].mean() > 4


@pytest.mark.parametrize("seed", [3, 5, 8])
def test_food_over_a_mouth_that_nobody_saw_is_let_be(seed: int) -> None:
    picture = _painted(POINTS)
    middle = POINTS[[13, 14], :2].mean(axis=0)
    blobs = np.random.default_rng(seed).normal(0, 1, (SIZE[1] // 16, SIZE[0] // 16, 1))
    texture = cv2.resize(blobs, SIZE, interpolation=cv2.INTER_CUBIC)[..., None] * (30, 50, 30)
    plate = np.zeros((SIZE[1], SIZE[0], 1), np.uint8)
    cv2.ellipse(plate, (int(middle[0]), int(middle[1])), (100, 70), 0, 0, 360, 1, -1)
    picture = np.where(plate > 0, np.clip(texture + np.array((190, 120, 50)), 0, 255), picture)
    frame = from_rgb(picture.astype(np.uint8), Matrix.BT601)
    gates = FaceGates(np.full((8, 8), 255, np.uint8), np.full((8, 8), 255, np.uint8), 0.0)
    after = apply("lips:red,strength=1", frame, _face(POINTS, gates))
    assert _change(frame, after)[_inside(outline(POINTS, LIPS_OUTER))].mean() < 1


def test_teeth_whiten_and_lips_do_not() -> None:
    frame = _frame(POINTS)
    after = apply("teeth:1", frame, _face(POINTS))
    gain = after.y.astype(int) - frame.y
    inner = _inside(outline(POINTS, LIPS_INNER), margin=-3)
    assert gain[inner].mean() > 5
    assert (
        np.abs(
            gain[_inside(outline(POINTS, LIPS_OUTER), outline(POINTS, LIPS_INNER), margin=-3)]
        ).max()
        <= 1
    )
    shut = HEAD.points.copy()
    shut[list(LIPS_INNER), 1] = shut[list(LIPS_INNER), 1].mean()
    closed = _frame(shut)
    assert (apply("teeth:1", closed, _face(shut)).data == closed.data).all()


def test_irises_change_to_their_edge_and_nothing_else_does() -> None:
    frame = _frame(POINTS)
    change = _change(frame, apply("eyes:blue,strength=1", frame, _face(POINTS)))
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]] + 0.5
    far = np.ones_like(change, bool)
    for side in (0, 1):
        x, y, radius = iris_circle(POINTS, side)
        distance = np.hypot(columns - x, rows - y)
        lids = _inside(outline(POINTS, EYES[side]), margin=-2)
        assert change[lids & (distance < 0.7 * radius) & (distance > 0.5 * radius)].mean() > 8
        far &= distance > 1.1 * radius + 2
    assert not change[far].any()


def test_a_shut_eye_and_the_far_eye_of_a_profile_are_let_be() -> None:
    points = POINTS.copy()
    points[list(LEFT_EYE), 1] = points[33, 1]
    frame = _frame(POINTS)
    change = _change(frame, apply("eyes:blue,strength=1", frame, _face(points)))
    assert not change[:, : SIZE[0] // 2].any()
    assert change[:, SIZE[0] // 2 :].any()
    aside = POINTS.copy()
    eye = list(LEFT_EYE)
    aside[eye, 0] = aside[33, 0] + 0.35 * (aside[eye, 0] - aside[33, 0])
    aside[454, 2] += 2 * HEAD.height
    change = _change(frame, apply("eyes:blue,strength=1", frame, _face(aside)))
    assert not change[:, : SIZE[0] // 2].any()


def test_only_the_pupil_of_a_mesh_loses_red() -> None:
    picture = _painted(POINTS)
    x, y, radius = iris_circle(POINTS, 0)
    cv2.circle(picture, (int(x), int(y)), round(0.6 * radius), (214, 42, 38), -1)
    corner = POINTS[133, :2].astype(int)
    cv2.circle(picture, (int(corner[0]) - 8, int(corner[1])), 3, (214, 42, 38), -1)
    frame = from_rgb(picture, Matrix.BT601)
    change = _change(frame, apply("redeye", frame, _face(POINTS)))
    assert change[int(y), int(x)] > 40
    assert change[corner[1], corner[0] - 8] < 12


def test_skin_without_a_parse_is_the_oval_without_eyes_and_mouth() -> None:
    area = skin_area(_face(POINTS), SIZE)
    assert area is not None
    whole = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    area.box.of(whole)[:] = area.mask
    for part in (*EYES, LIPS_OUTER):
        assert whole[_inside(outline(POINTS, part), margin=-2)].max() < 40
    bare = _inside(outline(POINTS, (50, 101, 205, 187)))
    assert whole[bare].min() > 240
    assert not whole[~_inside(raised_oval(POINTS), margin=12)].any()


@pytest.mark.parametrize("text", COLOURFUL)
def test_each_effect_stays_on_the_face_and_both_sides_get_it(text: str) -> None:
    frame = _frame(POINTS)
    if text.startswith("concealer"):
        picture = _painted(POINTS)
        for number in (230, 450):
            place = POINTS[number, :2].astype(int)
            cv2.circle(picture, (int(place[0]), int(place[1])), 12, (150, 105, 88), -1)
        frame = from_rgb(picture, Matrix.BT601)
    change = _change(frame, apply(text, frame, _face(POINTS)))
    assert not change[~_inside(raised_oval(POINTS), margin=4)].any()
    middle = int(HEAD.x)
    left, right = change[:, :middle].sum(), change[:, middle:].sum()
    assert min(left, right) > 300
    assert max(left, right) < 2 * min(left, right)


@pytest.mark.parametrize("text", MAKEUP[1:])
def test_makeup_leaves_eyes_and_mouth_and_a_face_without_a_mesh(text: str) -> None:
    frame = _frame(POINTS)
    change = _change(frame, apply(text, frame, _face(POINTS)))
    for part in (*EYES, LIPS_OUTER):
        assert change[_inside(outline(POINTS, part), margin=-3)].max() <= 2
    parsed = replace(_face(POINTS), points=None)
    assert (apply(text, frame, parsed).data == frame.data).all()


def test_a_face_half_outside_the_picture_is_no_trouble() -> None:
    for x, y in ((0.0, 240.0), (640.0, 240.0), (320.0, 0.0), (320.0, 480.0), (-500.0, -500.0)):
        points = Head(x, y, 260).points
        frame = _frame(POINTS)
        for text in (*COLOURFUL, "skin:1", "redeye"):
            apply(text, frame, _face(points))


def test_boxes_are_even_and_inside_the_frame() -> None:
    box = box_around(np.array([[-5, 3.2], [700, 479.9]], np.float32), SIZE)
    assert box == Box(0, 480, 0, 640)
    assert box_around(np.array([[700, 10], [710, 20]], np.float32), SIZE) is None
    assert box_around(np.array([[np.nan, 10], [710, 20]], np.float32), SIZE) is None
    area = mouth_area(_face(POINTS), SIZE)
    assert area is not None
    assert area.mask.shape == (area.box.bottom - area.box.top, area.box.right - area.box.left)
