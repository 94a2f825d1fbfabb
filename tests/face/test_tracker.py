"""Finding, following and carrying faces, with drawn faces of which everything is known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.face.drawing import Face, draw
from vcam.colour import from_rgb, to_rgb
from vcam.effects.regions import region_box, region_mask
from vcam.face.fake import KnownFaces
from vcam.face.lose import FaceFollower
from vcam.face.motion import face_motion
from vcam.face.parser import Crop, cut_rgb
from vcam.face.tidy import tidy
from vcam.face.tracker import FaceParse, FaceTracker, windows
from vcam.frame import FaceClass, FaceRegions, Frame, Matrix, Plane
from vcam.matting.pyramid import Pyramid

SIZE = (640, 360)
FRAME_NS = 33_333_333


class Film:
    """Frames of drawn faces, and their labels: faces by the index of the frame."""

    def __init__(self, *scenes: tuple[Face, ...], noise: float = 0.0) -> None:
        self._scenes, self._noise = scenes, noise
        self._drawn: dict[tuple[Face, ...], tuple[np.ndarray, Plane]] = {}

    def frame(self, index: int) -> Frame:
        frame = from_rgb(self._draw(index)[0], Matrix.BT601, index * FRAME_NS, index)
        if self._noise:
            grain = np.random.default_rng(index).normal(0, self._noise, frame.y.shape)
            frame.y[:] = np.clip(frame.y + grain, 16, 235).astype(np.uint8)
        return replace(frame, pts_ns=index * FRAME_NS)

    def labels(self, index: int) -> Plane:
        return self._draw(index)[1]

    def parser(self) -> KnownFaces:
        return KnownFaces(self.labels)

    def _draw(self, index: int) -> tuple[np.ndarray, Plane]:
        scene = self._scenes[index]
        if scene not in self._drawn:
            self._drawn[scene] = draw(*scene, size=SIZE)
        return self._drawn[scene]


def _follow(film: Film, tracker: FaceTracker, index: int) -> FaceParse:
    frame = film.frame(index)
    return tracker.follow(frame, Pyramid.of(frame))


def _overlap(face: FaceRegions, labels: Plane, which: FaceClass) -> float:
    """Intersection over union of a class with its true labels."""
    box = region_box(face, [which], SIZE, margin=0.5)
    assert box is not None
    found, true = (
        region_mask(face, [which], box) > 127,
        box.of((labels == which).astype(np.uint8)) > 0,
    )
    return float((found & true).sum() / (found | true).sum())


def test_a_picture_needs_one_look_and_the_square_fits_the_face() -> None:
    film = Film((Face(430, 180, 120),))
    with FaceTracker(film.parser(), 2, live=False) as tracker:
        (face,) = _follow(film, tracker, 0).faces
    side = face.regions.to_frame[0, 0] * face.regions.probs.shape[2]
    assert 1.6 < side / 120 < 2.6
    for which in (FaceClass.SKIN, FaceClass.LIPS, FaceClass.LEFT_EYE, FaceClass.RIGHT_EYE):
        assert _overlap(face.regions, film.labels(0), which) > 0.85


@pytest.mark.parametrize("x", [60, 200, 320, 580])
def test_faces_are_found_everywhere_down_to_a_sixth_of_the_height(x: float) -> None:
    film = Film((Face(x, 150, 62),))
    with FaceTracker(film.parser(), 1, live=False) as tracker:
        (face,) = _follow(film, tracker, 0).faces
    assert _overlap(face.regions, film.labels(0), FaceClass.SKIN) > 0.85


def test_squares_cover_wide_and_tall_frames() -> None:
    for size in ((1280, 720), (720, 1280), (640, 480), (500, 500), (2000, 500)):
        seen = np.zeros((size[1], size[0]), bool)
        found = windows(size)
        for crop in found:
            left, top = round(crop.x - crop.side / 2), round(crop.y - crop.side / 2)
            assert left >= 0
            assert top >= 0
            seen[top : top + round(crop.side), left : left + round(crop.side)] = True
        assert seen.all()
        assert (found[0].x, found[0].y) == (size[0] / 2, size[1] / 2)


def test_the_largest_faces_come_first_and_no_more_than_asked_for() -> None:
    film = Film((Face(110, 120, 90), Face(320, 180, 150), Face(530, 160, 120)))
    with FaceTracker(film.parser(), 2, live=False) as tracker:
        faces = _follow(film, tracker, 0).faces
    middles = [f.regions.to_frame @ (112, 112, 1) for f in faces]
    assert [round(float(m[0]), -1) for m in middles] == pytest.approx([320, 530], abs=15)


def test_a_neighbour_in_the_square_belongs_to_itself() -> None:
    film = Film((Face(230, 180, 140), Face(370, 180, 140)))
    with FaceTracker(film.parser(), 2, live=False) as tracker:
        faces = _follow(film, tracker, 0).faces
    assert len(faces) == 2
    for face in faces:
        box = region_box(face.regions, [FaceClass.SKIN], SIZE)
        assert box is not None
        assert box.right - box.left < 120


def test_a_face_is_parsed_once_per_frame_while_it_is_followed_and_keeps_its_number() -> None:
    film = Film(*((Face(240 + 4 * i, 180 + i, 130 + i),) for i in range(24)))
    parser = film.parser()
    numbers = set()
    with FaceTracker(parser, 1, live=True) as tracker:
        for index in range(24):
            parse = _follow(film, tracker, index)
            numbers |= {face.number for face in parse.faces}
            assert _overlap(parse.faces[0].regions, film.labels(index), FaceClass.SKIN) > 0.9
    assert numbers == {0}
    assert [index for index, _ in parser.parses].count(10) == 1
    sides = np.array([crop.side for index, crop in parser.parses if index > 0])
    assert np.abs(np.diff(sides) / sides[:-1]).max() < 0.04


def test_a_trembling_face_does_not_move_the_square() -> None:
    film = Film(*((Face(320 + (-1) ** i, 180, 150),) for i in range(8)))
    parser = film.parser()
    with FaceTracker(parser, 1, live=True) as tracker:
        for index in range(8):
            _follow(film, tracker, index)
    crops = {crop for index, crop in parser.parses if index > 1}
    assert len(crops) == 1


def test_a_lost_face_is_found_again_within_half_a_second() -> None:
    def there(i: int) -> tuple[Face, ...]:
        return (Face(200, 180, 130),) if i < 5 else () if i < 20 else (Face(470, 150, 110),)

    film = Film(*(there(i) for i in range(40)))
    seen = []
    with FaceTracker(film.parser(), 1, live=True) as tracker:
        for index in range(40):
            seen.append(bool(_follow(film, tracker, index).faces))
    assert all(seen[:5])
    assert not any(seen[5:20])
    assert all(seen[20 + 15 :])


def test_a_lost_face_is_found_again_within_half_a_second_beside_another() -> None:
    stays = Face(450, 180, 150)
    film = Film(*((stays,) if 5 <= i < 33 else (stays, Face(160, 180, 130)) for i in range(63)))
    seen = []
    with FaceTracker(film.parser(), 2, live=True) as tracker:
        for index in range(63):
            seen.append(len(_follow(film, tracker, index).faces))
    assert seen[:5] == [2] * 5
    assert seen[10:33] == [1] * 23
    assert seen[33 + 15 :] == [2] * 15


def test_a_larger_face_takes_the_place_of_a_smaller_one() -> None:
    poster = Face(120, 120, 90)
    film = Film(*((poster,) if i < 5 else (poster, Face(420, 180, 160)) for i in range(40)))
    with FaceTracker(film.parser(), 1, live=True) as tracker:
        places = [
            [
                float((f.regions.to_frame @ (112, 112, 1))[0])
                for f in _follow(film, tracker, i).faces
            ]
            for i in range(40)
        ]
    assert [round(x, -1) for x in places[4]] == pytest.approx([120], abs=15)
    assert [round(x, -1) for x in places[39]] == pytest.approx([420], abs=15)
    assert max(map(len, places)) == 1


def test_no_search_goes_on_live_while_every_frame_is_faceless() -> None:
    film = Film(*[()] * 31)
    parser = film.parser()
    with FaceTracker(parser, 1, live=True) as tracker:
        for index in range(31):
            _follow(film, tracker, index)
    assert len({index for index, _ in parser.parses}) <= 6


def test_hands_are_no_faces() -> None:
    labels = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    labels[100:250, 200:330] = FaceClass.SKIN
    film = Film(())
    with FaceTracker(KnownFaces(lambda _: labels), 1, live=False) as tracker:
        assert not _follow(film, tracker, 0).faces


def test_a_still_face_does_not_flicker() -> None:
    """A parser that trembles by a twentieth of full scale; the masks tremble less."""
    film = Film(*[(Face(320, 180, 160),)] * 12, noise=1.5)
    random = np.random.default_rng(2)

    class Trembling(KnownFaces):
        def parse(self, frame: Frame, pyramid: Pyramid, crop: Crop) -> np.ndarray:
            probs = super().parse(frame, pyramid, crop).astype(float)
            wobble = random.normal(0, 12, (probs.shape[0], 28, 28)).repeat(8, 1).repeat(8, 2)
            return np.where(
                (probs > 25) & (probs < 230), np.clip(probs + wobble, 0, 255), probs
            ).astype(np.uint8)

    raw, steady = [], []
    with (
        FaceTracker(Trembling(film.labels), 1, live=True) as tracker,
        Trembling(film.labels) as parser,
    ):
        for index in range(12):
            parse = _follow(film, tracker, index)
            frame = film.frame(index)
            side = parse.faces[0].regions.to_frame[0, 0] * 224
            x, y = (parse.faces[0].regions.to_frame @ (112, 112, 1)).tolist()
            crop = Crop(x, y, side)
            alone = parser.parse(frame, Pyramid.of(frame), crop)
            tidy(alone)
            raw.append(alone[FaceClass.SKIN].astype(float))
            steady.append(parse.faces[0].regions.probs[2].astype(float))
    edge = (np.std(raw, axis=0) > 5) & (np.mean(steady, axis=0) > 1)
    assert np.std(steady[4:], axis=0)[edge].mean() < 0.75 * np.std(raw[4:], axis=0)[edge].mean()


def _moved(face: Face, shift: tuple[float, float], zoom: float = 1.0) -> Face:
    return replace(face, x=face.x + shift[0], y=face.y + shift[1], height=face.height * zoom)


@pytest.mark.parametrize(
    ("shift", "zoom"), [((0, 0), 1.0), ((7, -3), 1.0), ((-12, 6), 1.0), ((3, 2), 1.05)]
)
def test_masks_are_carried_along_between_parses(shift: tuple[float, float], zoom: float) -> None:
    face = Face(320, 180, 150)
    film = Film((face,), (_moved(face, shift, zoom),), noise=1.0)
    follower = FaceFollower()
    with FaceTracker(film.parser(), 1, live=True) as tracker:
        parse = _follow(film, tracker, 0)
    for index in (0, 1):
        frame = film.frame(index)
        (found,) = follower.update(parse, frame, Pyramid.of(frame), frame.t_capture_ns)
    for which in (FaceClass.SKIN, FaceClass.LIPS):
        assert _overlap(found, film.labels(1), which) > 0.85


def test_motion_of_nothing_is_none_or_nothing() -> None:
    flat = np.full((90, 160), 128, np.uint8)
    motion = face_motion(flat, flat, (40, 20, 90, 70))
    assert motion is not None
    assert (motion == np.eye(2, 3)).all()
    textured = np.random.default_rng(0).integers(0, 255, (90, 160)).astype(np.uint8)
    other = np.random.default_rng(1).integers(0, 255, (90, 160)).astype(np.uint8)
    assert face_motion(textured, other, (40, 20, 90, 70)) is None
    face_motion(textured, other, (-50, -50, -10, -10))


def test_a_face_comes_at_once_at_the_start_fades_out_when_lost_and_in_again() -> None:
    film = Film(*[(Face(320, 180, 150),)] * 40)
    follower = FaceFollower()
    presences = []
    with FaceTracker(film.parser(), 1, live=True) as tracker:
        for index in range(40):
            frame = film.frame(index)
            parse = _follow(film, tracker, index)
            if 10 <= index < 25:
                parse = replace(parse, faces=())
            faces = follower.update(parse, frame, Pyramid.of(frame), frame.t_capture_ns)
            presences.append(faces[0].presence if faces else 0.0)
    assert presences[0] == 1
    assert presences[9] == 1
    assert 0 < presences[11] < presences[10] < 1
    assert presences[16] == 0
    assert 0 < presences[25] < presences[27] < 1
    assert presences[-1] == 1
    assert np.abs(np.diff(presences)).max() < 0.3


def test_a_stale_parse_fades_out() -> None:
    film = Film(*[(Face(320, 180, 150),)] * 32)
    follower = FaceFollower()
    with FaceTracker(film.parser(), 1, live=True) as tracker:
        parse = _follow(film, tracker, 0)
    for index in range(32):
        frame = film.frame(index)
        faces = follower.update(parse, frame, Pyramid.of(frame), frame.t_capture_ns)
        if index == 15:
            assert faces[0].presence == 1
    assert not faces


@pytest.mark.parametrize("matrix", Matrix)
@pytest.mark.parametrize("side", [80.0, 200.0, 500.0])
def test_a_square_is_cut_where_it_is_asked_for(side: float, matrix: Matrix) -> None:
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]]
    picture = np.stack(
        [columns * 255 // SIZE[0], rows * 255 // SIZE[1], np.full_like(rows, 90)], axis=-1
    )
    frame = from_rgb(picture.astype(np.uint8), matrix)
    crop = Crop(330, 170, side)
    cut = cut_rgb(frame, Pyramid.of(frame), crop, (64, 64)).astype(int)
    place = crop.to_frame(64)
    whole = to_rgb(frame).astype(int)
    for x, y in ((20, 30), (32, 32), (50, 12)):
        at = place @ (x + 0.5, y + 0.5, 1)
        if 0 <= at[0] < SIZE[0] and 0 <= at[1] < SIZE[1]:
            assert np.abs(cut[y, x] - whole[math.floor(at[1]), math.floor(at[0])]).max() <= 5
