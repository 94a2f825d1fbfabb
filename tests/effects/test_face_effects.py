"""Face effects: what they change, and that they change nothing else."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest

from tests.face.drawing import (
    SKIN,
    TEETH,
    Face,
    apply,
    checked,
    draw,
    photographs,
    regions_of,
    scene_of,
)
from vcam.colour import from_rgb, ycbcr_of
from vcam.effects import FACE_EFFECTS, make_effect, make_effects
from vcam.effects.base import Scene, Stateless
from vcam.effects.composer import Composer
from vcam.effects.eyes import find_iris
from vcam.effects.face import FaceEffect
from vcam.effects.pool import FramePool
from vcam.effects.regions import face_height_px, region_box, region_mask, skin_tone
from vcam.effects.room import Blur, NoEffect
from vcam.effects.teeth import Teeth
from vcam.errors import UsageError
from vcam.frame import FaceClass, Frame, Matrix, Matte, Plane
from vcam.matting.pyramid import Pyramid
from vcam.matting.refine import RefineConfig
from vcam.monitor import Stats

REGIONS = {
    "teeth:1": (FaceClass.TEETH,),
    "skin:1": (FaceClass.SKIN,),
    "eyes:blue,strength=1": (FaceClass.LEFT_EYE, FaceClass.RIGHT_EYE),
    "redeye:1": (FaceClass.LEFT_EYE, FaceClass.RIGHT_EYE),
    "lips:red,strength=1": (FaceClass.LIPS,),
}


def _drawn(face: Face | None = None, matrix: Matrix = Matrix.BT601) -> tuple[Frame, Plane]:
    picture, labels = draw(face or Face())
    return from_rgb(picture, matrix), labels


def _change(before: Frame, after: Frame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    y, u, v = (a.astype(int) - b for a, b in zip(after.planes, before.planes, strict=True))
    return y, u, v


@pytest.mark.parametrize("text", REGIONS)
@pytest.mark.parametrize("matrix", Matrix)
def test_nothing_outside_the_region_changes_by_a_single_level(text: str, matrix: Matrix) -> None:
    noise = np.random.default_rng(1).normal(0, 4, (240, 320, 3))
    picture, labels = draw(Face(red=text.startswith("redeye")))
    frame = from_rgb(np.clip(picture + noise, 0, 255).astype(np.uint8), matrix)
    after = apply(text, frame, regions_of(labels))
    near = checked(labels, REGIONS[text], outer=4)
    y, u, v = _change(frame, after)
    assert np.abs(y).max() > 3 or np.abs(v).max() > 3
    assert not y[~near].any()
    half = checked(labels, REGIONS[text], shrink=2, outer=4)
    assert not u[~half].any()
    assert not v[~half].any()
    assert (after.matrix, after.index, after.size) == (frame.matrix, frame.index, frame.size)


@pytest.mark.parametrize("text", REGIONS)
def test_the_captured_frame_is_not_written_to(text: str) -> None:
    frame, labels = _drawn(Face(red=True))
    copy = frame.data.copy()
    assert apply(text, frame, regions_of(labels)) is not frame
    assert (frame.data == copy).all()


class _Keeping(Stateless):
    """Makes a frame and keeps it."""

    def __init__(self) -> None:
        self.kept: Frame | None = None

    def apply(self, scene: Scene) -> Frame:
        self.kept = scene.new_frame()
        self.kept.data[:] = scene.frame.data
        return self.kept


def test_an_effect_changes_what_the_one_before_it_made_but_not_what_somebody_keeps() -> None:
    frame, labels = _drawn()
    pyramid, matte = Pyramid.of(frame), Matte(np.full((8, 8), 255, np.uint8))
    texts = ("teeth:1", "skin:1", "lips:red,strength=1")
    keeping = _Keeping()
    chains = {
        "handed over": [make_effect(text) for text in texts],
        "kept": [keeping, *map(make_effect, texts)],
        "captured": [NoEffect(), *map(make_effect, texts)],
    }
    captured = frame.data.copy()
    made, pictures = {}, {}
    for name, chain in chains.items():
        with (
            Composer(chain, RefineConfig(), Stats(), transparent=False, live=False) as composer,
            patch.object(FramePool, "like", autospec=True, side_effect=FramePool.like) as like,
        ):
            out = composer.compose(frame, pyramid, matte, (regions_of(labels),))
        made[name], pictures[name] = like.call_count, out.data
    assert made == {"handed over": 1, "kept": 2, "captured": 1}
    assert all((picture == pictures["captured"]).all() for picture in pictures.values())
    assert not (pictures["captured"] == captured).all()
    assert (frame.data == captured).all()
    assert keeping.kept is not None
    assert (keeping.kept.data == captured).all()


@pytest.mark.parametrize(
    "name", ["teeth:0", "skin:0", "eyes:blue,strength=0", "redeye:0", "lips:red,strength=0"]
)
def test_without_strength_or_face_the_frame_itself_comes_back(name: str) -> None:
    frame, labels = _drawn()
    assert apply(name, frame, regions_of(labels)) is frame
    strong = name.replace("0", "1")
    assert apply(strong, frame) is frame
    assert apply(strong, frame, regions_of(labels, presence=0.0)) is frame


def test_an_effect_grows_with_strength_and_with_presence() -> None:
    frame, labels = _drawn()
    teeth = checked(labels, (FaceClass.TEETH,), inner=1)
    gains = [
        _change(frame, apply(f"teeth:{s}", frame, regions_of(labels)))[0][teeth].mean()
        for s in (0.2, 0.5, 1)
    ]
    assert 0 < gains[0] < gains[1] < gains[2]
    faded = _change(frame, apply("teeth:1", frame, regions_of(labels, presence=0.5)))[0][
        teeth
    ].mean()
    assert faded == pytest.approx(gains[1], abs=0.3)


def test_strength_changes_are_ramped() -> None:
    frame, labels = _drawn()
    effect = Teeth(0.0)
    teeth = checked(labels, (FaceClass.TEETH,), inner=1)
    gains = []
    for step in range(12):
        if step == 1:
            effect.strength = 1.0
        after = effect.apply(scene_of(frame, regions_of(labels), time_ns=round(step / 30 * 1e9)))
        gains.append(_change(frame, after)[0][teeth].mean())
    assert gains[0] == 0
    assert np.diff(gains[:10]).min() > 0
    assert np.diff(gains).max() < 0.2 * gains[-1]
    assert gains[-1] == gains[-2]


def test_teeth_get_brighter_and_less_yellow_but_lips_tongue_and_throat_do_not() -> None:
    """The parse calls the whole mouth teeth, as parsers do."""
    frame, labels = _drawn()
    teeth = checked(labels, (FaceClass.TEETH,), inner=1)
    half = checked(labels, (FaceClass.TEETH,), shrink=2)
    mouth = labels.copy()
    rows, columns = np.nonzero(labels == FaceClass.LIPS)
    inside = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    mouth[inside] = np.where(labels[inside] == FaceClass.SKIN, FaceClass.SKIN, FaceClass.TEETH)
    y, u, v = _change(frame, apply("teeth:1", frame, regions_of(mouth)))
    assert y[teeth].mean() > 10
    assert u[half].mean() > 5
    others = checked(labels, (FaceClass.LIPS, FaceClass.PERSON, FaceClass.SKIN), inner=2)
    assert np.abs(y[others]).max() <= 1
    assert (
        np.abs(v[checked(labels, (FaceClass.LIPS, FaceClass.PERSON), shrink=2, inner=2)]).max() <= 1
    )


def test_whitening_keeps_order_and_never_clips() -> None:
    """A ramp of tooth colours from dark to white stays a ramp."""
    picture, labels = draw(Face(height=220))
    rows, columns = np.nonzero(labels == FaceClass.TEETH)
    ramp = np.linspace(0.75, 1.18, 320)[columns, None]
    picture[rows, columns] = np.clip(np.array(TEETH) * ramp, 0, 255)
    frame = from_rgb(picture, Matrix.BT601)
    after = apply("teeth:1", frame, regions_of(labels))
    row = int(np.median(rows))
    along = checked(labels, (FaceClass.TEETH,), inner=3)[row]
    assert (np.diff(after.y[row][along].astype(int)) >= 0).all()
    assert after.y.max() <= 235


def test_a_closing_mouth_fades_the_effect() -> None:
    gains = []
    for opening in (1.0, 0.35, 0.2, 0.0):
        frame, labels = _drawn(Face(height=200, open=opening))
        change = _change(frame, apply("teeth:1", frame, regions_of(labels)))[0]
        gains.append(float(np.abs(change).sum()))
    assert gains == sorted(gains, reverse=True)
    assert gains[-1] == 0


def _spotted() -> tuple[Frame, Plane, np.ndarray]:
    """A face with blotches of a few pixels, and where they are."""
    picture, labels = draw(Face(height=200))
    blotches = np.random.default_rng(3).normal(0, 1, (60, 80)).repeat(4, axis=0).repeat(4, axis=1)
    cheeks = checked(labels, (FaceClass.SKIN,), inner=6)
    picture = np.where(
        cheeks[..., None], np.clip(picture + 7 * blotches[..., None], 0, 255), picture
    ).astype(np.uint8)
    return from_rgb(picture, Matrix.BT601), labels, cheeks


def test_skin_loses_blotches_but_neither_its_mean_nor_edges() -> None:
    frame, labels, cheeks = _spotted()
    spread = [float(frame.y[cheeks].std())]
    for strength in (0.3, 0.6, 1.0):
        after = apply(f"skin:{strength}", frame, regions_of(labels))
        spread.append(float(after.y[cheeks].std()))
        assert after.y[cheeks].mean() == pytest.approx(frame.y[cheeks].mean(), abs=0.5)
        for which in (1, 2):
            means = [f.planes[which][cheeks[::2, ::2]].mean() for f in (frame, after)]
            assert means[0] == pytest.approx(means[1], abs=0.5)
    assert spread == sorted(spread, reverse=True)
    assert spread[-1] < 0.7 * spread[0]
    assert spread[1] > 0.75 * spread[0]
    y = _change(frame, apply("skin:1", frame, regions_of(labels)))[0]
    features = tuple(FaceClass)[FaceClass.LEFT_BROW :]
    assert np.abs(y[checked(labels, features, inner=1)]).max() <= 1


def test_skin_spares_what_is_dark() -> None:
    """Nostrils, glasses and beards are labelled skin."""
    picture, labels = draw(Face(height=200))
    picture[150:156, 130:190] = (25, 20, 20)
    frame = from_rgb(picture, Matrix.BT601)
    y = _change(frame, apply("skin:1", frame, regions_of(labels)))[0]
    assert np.abs(y[151:155, 135:185]).max() <= 3


@pytest.mark.parametrize("gaze", [-0.2, 0.0, 0.2])
def test_the_iris_is_found_where_it_looks(gaze: float) -> None:
    face = Face(height=200, gaze=gaze)
    frame, labels = _drawn(face)
    regions = regions_of(labels)
    box = region_box(regions, [FaceClass.LEFT_EYE], frame.size, margin=0.1)
    assert box is not None
    iris = find_iris(box.of(frame.y), region_mask(regions, [FaceClass.LEFT_EYE], box))
    assert iris is not None
    assert box.left + iris.x == pytest.approx(face.x + (-0.16 + 0.16 * gaze) * face.height, abs=1.5)
    assert box.top + iris.y == pytest.approx(face.y - 0.1 * face.height, abs=1.5)
    assert iris.radius == pytest.approx(0.032 * face.height, rel=0.2)


def test_eyes_change_inside_the_iris_only() -> None:
    frame, labels = _drawn(Face(height=200))
    after = apply("eyes:blue,strength=1", frame, regions_of(labels))
    y, u, v = _change(frame, after)
    eyes = checked(labels, (FaceClass.LEFT_EYE, FaceClass.RIGHT_EYE))
    dark = eyes & (frame.y < 100)
    white = eyes & (frame.y > 190)
    iris = dark.reshape(120, 2, 160, 2).min(axis=(1, 3)) > 0
    white_half = white.reshape(120, 2, 160, 2).min(axis=(1, 3)) > 0
    blue = ycbcr_of((86, 130, 171), Matrix.BT601)
    assert u[iris].mean() > 4
    assert v[iris].mean() < -4
    assert abs(after.u[iris].mean() - blue[1]) < abs(frame.u[iris].mean() - blue[1])
    assert (
        max(np.abs(y[white]).mean(), np.abs(u[white_half]).mean(), np.abs(v[white_half]).mean()) < 2
    )
    ranks = [np.argsort(f.y[dark].astype(int), kind="stable") for f in (frame, after)]
    assert np.corrcoef(frame.y[dark], after.y[dark])[0, 1] > 0.9, ranks


def test_the_pupil_stays_black_when_the_iris_gets_a_light_colour() -> None:
    frame, labels = _drawn(Face(height=200))
    after = apply("eyes:#c0d8f0,strength=1", frame, regions_of(labels))
    lifted = after.y.astype(int) - frame.y
    for eye in (FaceClass.LEFT_EYE, FaceClass.RIGHT_EYE):
        rows, columns = np.nonzero(checked(labels, (eye,)) & (frame.y < 100))
        y, x = round(rows.mean()), round(columns.mean())
        assert np.abs(lifted[y, x - 1 : x + 1]).max() <= 1
        assert lifted[rows, columns].max() > 10


def test_closed_eyes_stay_as_they_are() -> None:
    frame, labels = _drawn(Face(height=200, closed_eyes=True))
    for text in ("eyes:blue,strength=1", "redeye"):
        assert (apply(text, frame, regions_of(labels)).data == frame.data).all()


def test_only_red_pupils_lose_their_red() -> None:
    frame, labels = _drawn(Face(height=240, red=True))
    after = apply("redeye", frame, regions_of(labels))
    red = (frame.v.astype(int) > 190) & checked(
        labels, (FaceClass.LEFT_EYE, FaceClass.RIGHT_EYE), shrink=2
    )
    assert red.sum() > 4
    assert np.abs(after.v[red].astype(int) - 128).max() < 12
    healthy, labels = _drawn(Face(height=240))
    assert (apply("redeye", healthy, regions_of(labels)).data == healthy.data).all()


def test_lips_take_the_colour_and_keep_light_and_shade() -> None:
    picture, labels = draw(Face(height=200))
    rows, columns = np.nonzero(labels == FaceClass.LIPS)
    picture[rows, columns] = np.clip(
        picture[rows, columns] * np.linspace(0.6, 1.1, 320)[columns, None], 0, 255
    )
    shine = (columns > 165) & (columns < 172) & (rows > np.percentile(rows, 80))
    picture[rows[shine], columns[shine]] = (250, 245, 245)
    frame = from_rgb(picture, Matrix.BT601)
    after = apply("lips:berry,strength=1", frame, regions_of(labels))
    lips = checked(labels, (FaceClass.LIPS,), inner=2)
    matt = lips & (frame.y < 200)
    half = checked(labels, (FaceClass.LIPS,), shrink=2, inner=2)
    berry = ycbcr_of((0x8A, 0x1F, 0x4B), Matrix.BT601)
    assert abs(after.u[half].mean() - berry[1]) < abs(frame.u[half].mean() - berry[1])
    assert np.corrcoef(frame.y[matt], after.y[matt])[0, 1] > 0.95
    assert after.y[rows[shine], columns[shine]].min() > 200
    y, _u, v = _change(frame, after)
    teeth = checked(labels, (FaceClass.TEETH,), inner=2)
    assert not y[teeth].any()
    assert not v[checked(labels, (FaceClass.TEETH,), shrink=2, inner=2)].any()


def test_height_and_tone_of_a_face() -> None:
    frame, labels = _drawn(Face(height=200))
    regions = regions_of(labels)
    assert face_height_px(regions) == pytest.approx(200, rel=0.1)
    tone = skin_tone(regions, frame)
    assert tone is not None
    assert (tone.y, tone.u, tone.v) == pytest.approx(ycbcr_of(SKIN, Matrix.BT601), abs=3)


def test_a_face_half_outside_the_picture_is_no_trouble() -> None:
    for x, y in ((5.0, 120.0), (318.0, 120.0), (160.0, 2.0), (160.0, 238.0)):
        picture, labels = draw(Face(x=x, y=y))
        frame = from_rgb(picture, Matrix.BT601)
        for text in REGIONS:
            apply(text, frame, regions_of(labels))


def test_two_faces_both_change() -> None:
    picture, labels = draw(Face(90, 120, 130), Face(230, 120, 130))
    frame = from_rgb(picture, Matrix.BT601)
    left, right = labels.copy(), labels.copy()
    left[:, 160:], right[:, :160] = 0, 0
    y = _change(frame, apply("teeth:1", frame, regions_of(left), regions_of(right)))[0]
    assert y[:, :160].max() > 5
    assert y[:, 160:].max() > 5


def test_face_effects_alone_blur_the_room_and_none_shows_it() -> None:
    alone, open_room = make_effects(["teeth"]), make_effects(["teeth", "none"])
    assert (isinstance(alone[0], Teeth), isinstance(alone[1], Blur)) == (True, True)
    assert (isinstance(open_room[0], Teeth), isinstance(open_room[1], NoEffect)) == (True, True)
    assert all(
        isinstance(make_effect(f"{n}:red" if n in ("eyes", "lips") else n), FaceEffect)
        is (n in FACE_EFFECTS)
        for n in ("teeth", "skin", "redeye", "blur", "none")
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("eyes", "effect 'eyes' needs a color; write eyes:COLOR"),
        ("eyes:color=mauve", "color 'mauve' is not #rrggbb and none of amber, blue"),
        ("lips:strength=0.4", "effect 'lips' needs a color"),
        ("lips:red,strength=1.2", "strength '1.2' is not a number from 0 to 1"),
        ("skin:-1", "strength '-1'"),
        ("teeth:color=red", "effect 'teeth' has no key 'color'; known: strength"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        make_effect(text)
    assert "\n" not in str(caught.value)


def test_real_smiles_get_whiter_and_nothing_else_does() -> None:
    gains = []
    for name, frame, labels in photographs(
        "london_00*_smile", "london_09*_smile", "london_12*_smile"
    ):
        teeth = checked(labels, (FaceClass.TEETH,), inner=1)
        if teeth.sum() < 200:
            continue
        y, u, _v = _change(frame, apply("teeth:0.5", frame, regions_of(labels)))
        half = checked(labels, (FaceClass.TEETH,), shrink=2, inner=1)
        gains.append((y[teeth].mean(), u[half].mean()))
        outside = ~checked(labels, (FaceClass.TEETH,), outer=5)
        assert np.abs(y[outside]).mean() < 0.01, name
        lips = checked(labels, (FaceClass.LIPS,), inner=1)
        assert np.abs(y[lips]).mean() < 1, name
    assert len(gains) >= 8
    assert np.min([y for y, _ in gains]) > 1
    assert np.mean([y for y, _ in gains]) > 4
    assert np.mean([u for _, u in gains]) > 1.5


def test_real_eyes_change_colour_and_their_white_does_not() -> None:
    moved, white_changes = [], []
    for _, frame, labels in photographs("london_00*_smile", "london_04*_smile"):
        after = apply("eyes:blue,strength=1", frame, regions_of(labels))
        y, u, _ = _change(frame, after)
        eyes = checked(labels, (FaceClass.LEFT_EYE, FaceClass.RIGHT_EYE), inner=2)
        dark, bright = np.percentile(frame.y[eyes], (25, 80))
        small = checked(labels, (FaceClass.LEFT_EYE, FaceClass.RIGHT_EYE), shrink=2, inner=2)
        luma = frame.y.reshape(frame.u.shape[0], 2, -1, 2).mean(axis=(1, 3))
        moved.append(u[small & (luma < dark)].mean())
        white_changes.append(
            max(abs(y[eyes & (frame.y > bright)].mean()), abs(u[small & (luma > bright)].mean()))
        )
    assert np.mean(moved) > 4
    assert np.mean(white_changes) < 2


def test_real_eyes_have_no_red_to_lose() -> None:
    changed = [
        n
        for n, f, labels in photographs("london_00", "canada_00")
        if (apply("redeye", f, regions_of(labels)).data != f.data).any()
    ]
    assert not changed


def test_real_skin_keeps_its_mean() -> None:
    for name, frame, labels in photographs("london_002", "london_096", "congress_S0006"):
        cheeks = checked(labels, (FaceClass.SKIN,), inner=3)
        y = _change(frame, apply("skin:0.6", frame, regions_of(labels)))[0]
        assert abs(y[cheeks].mean()) < 0.5, name
        assert not y[~checked(labels, (FaceClass.SKIN,), outer=6)].any(), name
