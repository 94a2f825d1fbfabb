"""Whole trackers, with networks that know the faces and with the shipped ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.face.drawing import Face, draw, photographs
from tests.face.known import Head, Heads, KnownDetector, KnownMesh
from vcam.assemble import open_networks
from vcam.catalogue import DEFAULT_FACE_ENGINE, DEFAULT_FACE_MESH
from vcam.colour import from_rgb, to_rgb
from vcam.effects.outlines import LIPS_OUTER, face_height, outline, smooth_outline
from vcam.face.fake import KnownFaces
from vcam.face.mesh_tracker import FaceNetworks, MeshTracker
from vcam.face.tracker import FaceParse
from vcam.frame import FaceClass, Matrix
from vcam.matting.pyramid import Pyramid
from vcam.sources import make_source
from vcam.sources.base import SourceRequest

SIZE = (640, 360)
FRAME_NS = 33_333_333


class Film:
    """Drawn faces whose meshes are known; the heads by the index of the frame."""

    def __init__(self, heads: Heads, drawn: Callable[[int], tuple[Face, ...]] | None = None):
        self.near, self.far = KnownDetector(heads), KnownDetector(heads, 0.06)
        self.mesh = KnownMesh(heads)
        self._drawn = drawn or (
            lambda i: tuple(Face(h.x, h.y - 0.1 * h.height, 1.2 * h.height) for h in heads(i))
        )
        self._cache: dict[tuple[Face, ...], tuple[np.ndarray, np.ndarray]] = {}
        self.parser = KnownFaces(lambda index: self._draw(index)[1])

    def _draw(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        faces = self._drawn(index)
        if faces not in self._cache:
            self._cache[faces] = draw(*faces, size=SIZE)
        return self._cache[faces]

    def tracker(self, limit: int, live: bool) -> MeshTracker:
        return MeshTracker(FaceNetworks(self.near, self.far, self.mesh, self.parser), limit, live)

    def follow(self, tracker: MeshTracker, index: int) -> FaceParse:
        frame = from_rgb(self._draw(index)[0], Matrix.BT601, index * FRAME_NS, index)
        frame = replace(frame, pts_ns=index * FRAME_NS)
        pyramid = Pyramid.of(frame)
        parse = tracker.follow(frame, pyramid)
        tracker.refresh(frame, pyramid)
        return parse


def test_the_largest_faces_come_first_and_no_more_than_asked_for() -> None:
    film = Film(lambda _: (Head(110, 120, 70), Head(320, 180, 120), Head(530, 160, 95)))
    with film.tracker(2, live=False) as tracker:
        faces = film.follow(tracker, 0).faces
    places = [float(f.regions.points[1, 0]) for f in faces if f.regions.points is not None]
    assert places == pytest.approx([320, 530], abs=3)
    assert not film.mesh.open
    assert not film.parser.open


def test_live_a_mesh_in_every_frame_and_four_parses_a_second_after_the_frame_went_on() -> None:
    film = Film(lambda i: (Head(x=300 + 2 * i),))
    numbers = set()
    with film.tracker(1, live=True) as tracker:
        for index in range(31):
            parse = film.follow(tracker, index)
            numbers |= {face.number for face in parse.faces}
            points = parse.faces[0].regions.points
            assert points is not None
            assert points[1, 0] == pytest.approx(Head(x=300 + 2 * index).points[1, 0], abs=2)
    assert {index for index, _ in film.mesh.looked} == set(range(31))
    assert 4 <= len(film.parser.parses) <= 6
    assert len(numbers) == 1


def test_in_a_file_every_frame_is_parsed() -> None:
    film = Film(lambda _: (Head(),))
    with film.tracker(1, live=False) as tracker:
        for index in range(6):
            film.follow(tracker, index)
    assert {index for index, _ in film.parser.parses} == set(range(6))


def test_live_many_faces_share_the_time_the_largest_first() -> None:
    heads = tuple(Head(70 + 125 * i, 180, 60 + 10 * i) for i in range(5))
    film = Film(lambda _: heads)
    with film.tracker(5, live=True) as tracker:
        for index in range(40):
            shown = film.follow(tracker, index).faces
    assert len(shown) == 5
    fits = [index for index, _ in film.mesh.looked if index > 5]
    assert max(fits.count(index) for index in set(fits)) <= 2 + 2
    assert len({index for index, crop in film.mesh.looked if crop.x > 550 and index > 5}) == 34
    assert all(face.regions.probs[FaceClass.LIPS].max() > 200 for face in shown)


def test_a_lost_face_goes_and_is_found_again_within_half_a_second() -> None:
    stays, comes = Head(450), Head(160, height=100)
    film = Film(lambda i: (stays,) if 5 <= i < 33 else (stays, comes))
    with film.tracker(2, live=True) as tracker:
        seen = [len(film.follow(tracker, index).faces) for index in range(63)]
    assert seen[1:5] == [2] * 4
    assert seen[10:33] == [1] * 23
    assert seen[33 + 15 :] == [2] * 15


def test_a_larger_face_takes_the_place_of_a_poster() -> None:
    poster, person = Head(120, 120, 70), Head(420, 180, 130)
    film = Film(lambda i: (poster,) if i < 5 else (poster, person))
    with film.tracker(1, live=True) as tracker:
        places = []
        for index in range(40):
            (face,) = film.follow(tracker, index).faces
            assert face.regions.points is not None
            places.append(float(face.regions.points[1, 0]))
    assert places[4] == pytest.approx(120, abs=3)
    assert places[-1] == pytest.approx(420, abs=3)


def test_a_face_without_a_mesh_is_followed_by_its_parse() -> None:
    head = Head(presence=0.1)
    film = Film(lambda i: (head,), lambda _: (Face(320, 180, 150),))
    with film.tracker(1, live=True) as tracker:
        for index in range(10):
            (face,) = film.follow(tracker, index).faces
    assert face.regions.points is None
    assert face.regions.probs[FaceClass.LIPS].max() > 200


def test_a_box_that_neither_mesh_nor_parser_calls_a_face_is_none() -> None:
    film = Film(lambda _: (Head(presence=0.1),), lambda _: ())
    with film.tracker(1, live=False) as tracker:
        assert not film.follow(tracker, 0).faces


@pytest.fixture(scope="module")
def shipped() -> FaceNetworks:
    """The engines that come with the package."""
    return open_networks(DEFAULT_FACE_ENGINE, DEFAULT_FACE_MESH, (), "onnxruntime", 1)


def _portrait(size: tuple[int, int]) -> np.ndarray:
    with make_source("demo", SourceRequest(size)) as source:
        frame = source.read()
    assert frame is not None
    return to_rgb(frame)


def _faces_of(networks: FaceNetworks, picture: np.ndarray, limit: int = 4) -> FaceParse:
    frame = from_rgb(picture, Matrix.BT601)
    with MeshTracker(networks, limit, live=False) as tracker:
        return tracker.follow(frame, Pyramid.of(frame))


@pytest.mark.parametrize("turn", range(4))
def test_the_portrait_is_found_turned_any_way(shipped: FaceNetworks, turn: int) -> None:
    picture = np.ascontiguousarray(np.rot90(_portrait((640, 360)), turn))
    (face,) = _faces_of(shipped, picture).faces
    points = face.regions.points
    assert points is not None
    up = points[10, :2] - points[152, :2]
    wanted = [(0, -1), (-1, 0), (0, 1), (1, 0)][turn]
    assert up @ wanted > 0.9 * np.hypot(*up)
    assert face_height(points) > 100


def test_a_face_of_six_percent_of_the_height_is_found_in_a_photograph(
    shipped: FaceNetworks,
) -> None:
    portrait = _portrait((640, 360))
    (large,) = _faces_of(shipped, portrait).faces
    assert large.regions.points is not None
    share = 0.06 * 720 / face_height(large.regions.points)
    small = cv2.resize(portrait, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    picture = np.full((720, 1280, 3), (90, 100, 110), np.uint8)
    picture[300 : 300 + small.shape[0], 800 : 800 + small.shape[1]] = small
    (face,) = _faces_of(shipped, picture).faces
    assert face.regions.points is not None
    assert face_height(face.regions.points) == pytest.approx(0.06 * 720, rel=0.1)


def test_a_room_without_people_has_no_faces(shipped: FaceNetworks) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (45, 80, 3), np.uint8)
    picture = np.asarray(cv2.resize(noise, (640, 360)), np.uint8)
    assert not _faces_of(shipped, picture).faces


def test_lips_of_photographs_lie_on_their_labels(shipped: FaceNetworks) -> None:
    overlaps = []
    for _, frame, labels in photographs(
        "london_002_neutral", "london_016_neutral", "london_099_neutral"
    ):
        parse = _faces_of(shipped, to_rgb(frame), 1)
        (face,) = parse.faces
        assert face.regions.points is not None
        mask = np.zeros(labels.shape, np.uint8)
        corners = smooth_outline(outline(face.regions.points, LIPS_OUTER)) - 0.5
        cv2.fillPoly(mask, [np.rint(corners * 16).astype(np.int32)], 1, shift=4)
        true = (labels == FaceClass.LIPS) | (labels == FaceClass.TEETH)
        overlaps.append((mask.astype(bool) & true).sum() / (mask.astype(bool) | true).sum())
        assert face.regions.gates is not None
        assert face.regions.gates.mouth_seen > 0.6
    assert len(overlaps) >= 3
    assert np.mean(overlaps) > 0.82


def test_a_file_of_an_engine_for_something_else_is_refused(tmp_path: Path) -> None:
    from vcam.errors import UsageError

    with pytest.raises(UsageError, match="sinet_fp32 is a person engine, and a landmarks engine"):
        open_networks(DEFAULT_FACE_ENGINE, "sinet_fp32", (), "onnxruntime", 1)
