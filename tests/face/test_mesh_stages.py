"""Seek, admit, follow, parse: each by itself, with networks that know where the faces are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.face.known import Head, Heads, KnownDetector, KnownMesh
from vcam.colour import from_rgb
from vcam.effects.outlines import (
    LEFT_EYE,
    LIPS_OUTER,
    RIGHT_IRIS,
    Points,
    area,
    face_height,
    openness,
    outline,
    raised_oval,
    similarity,
    smooth_outline,
    visibility,
    yaw_degrees,
)
from vcam.face.admit import Admission, irises_fit
from vcam.face.fake import planes_of
from vcam.face.follow import MeshTrack, led
from vcam.face.networks import Detection, Fit, merged, mesh_square
from vcam.face.parse import RegionParser, parse_square
from vcam.face.parser import Crop
from vcam.face.seek import Seeker, apart, squares
from vcam.frame import FaceClass, Frame, Matrix, Plane
from vcam.matting.pyramid import Pyramid

SIZE = (640, 360)
FRAME_NS = 33_333_333


def _frame(index: int = 0, shift: int = 0, noise: float = 0.0) -> tuple[Frame, Pyramid]:
    """A frame with texture to hold on to, `shift` pixels further right."""
    texture = np.random.default_rng(3).normal(128, 40, (90, 200)).clip(30, 220)
    wide = texture.repeat(4, axis=0).repeat(4, axis=1)
    grey = wide[:, 80 - shift : 80 - shift + 640].astype(np.uint8)
    frame = from_rgb(np.repeat(grey[..., None], 3, axis=2), Matrix.BT601, index * FRAME_NS, index)
    if noise:
        grain = np.random.default_rng(index).normal(0, noise, frame.y.shape)
        frame.y[:] = np.clip(frame.y + grain, 16, 235).astype(np.uint8)
    frame = replace(frame, pts_ns=index * FRAME_NS)
    return frame, Pyramid.of(frame)


def _always(*heads: Head) -> Heads:
    return lambda _: heads


def test_squares_cover_wide_and_tall_frames_and_overlap() -> None:
    for size in ((1280, 720), (720, 1280), (640, 480), (500, 500), (2000, 500)):
        for share in (1.0, 0.5):
            seen = np.zeros((size[1], size[0]), int)
            found = squares(size, share)
            for crop in found:
                left, top = round(crop.x - crop.side / 2), round(crop.y - crop.side / 2)
                assert min(left, top) >= 0
                seen[top : top + round(crop.side), left : left + round(crop.side)] += 1
            assert seen.min() >= 1
            assert max(size) == min(size) * share or (seen >= 2).mean() > 0.3
    assert [c.x for c in squares((1280, 720))] == [360, 640, 920]


def test_live_at_most_four_looks_a_second_and_the_far_one_every_fourth_time() -> None:
    near, far = KnownDetector(_always()), KnownDetector(_always())
    seeker = Seeker(near, far, live=True)
    for index in range(61):
        frame, pyramid = _frame(index)
        if seeker.is_due(frame.t_capture_ns, 0, 1):
            assert not seeker.look(frame, pyramid, frame.t_capture_ns)
    looks = sorted({index for index, _ in near.looked})
    assert 7 <= len(looks) <= 9
    assert len({index for index, _ in far.looked}) == len(looks) // 4
    turns = {round(float(np.degrees(window.angle))) for _, window in near.looked}
    assert turns == {0, 90, -90}


def test_while_faces_are_followed_a_look_round_is_rare_and_after_a_loss_it_is_not() -> None:
    far = KnownDetector(_always())
    seeker = Seeker(KnownDetector(_always(Head())), far, live=True)
    frame, pyramid = _frame()
    seeker.look(frame, pyramid, 0)
    assert not seeker.is_due(int(0.5e9), 1, 2)
    assert seeker.is_due(int(1.1e9), 1, 2)
    seeker.lost(int(0.1e9))
    assert seeker.is_due(int(0.5e9), 1, 2)
    assert not seeker.is_due(int(0.5e9), 2, 2)
    assert not far.looked
    seeker.look(frame, pyramid, int(1.1e9))
    assert far.looked


def test_a_photograph_is_searched_in_all_sizes_and_turned() -> None:
    heads = (Head(100, 100, 22), Head(420, 200, 150, np.pi), Head(250, 280, 60, 1.4))
    seeker = Seeker(KnownDetector(_always(*heads)), KnownDetector(_always(*heads), 0.1), False)
    frame, pyramid = _frame()
    found = seeker.look(frame, pyramid, 0)
    assert sorted(round(d.x) for d in found) == [100, 250, 420]


def test_overlapping_boxes_are_one_weighted_by_score() -> None:
    one = Head(100, 100, 80, score=0.9).detection()
    other = Head(110, 100, 80, score=0.6).detection()
    (both,) = merged([other, one, one])
    assert both.score == 0.9
    assert both.x == pytest.approx((2 * 0.9 * 100 + 0.6 * 110) / 2.4)
    assert len(merged([one, Head(300, 100, 80).detection()])) == 2
    assert [d.score for d in apart([other, one])] == [0.9]


def test_an_upside_down_box_gets_an_upright_mesh() -> None:
    head = Head(angle=np.pi - 0.2)
    mesh = KnownMesh(_always(head))
    frame, pyramid = _frame()
    fit = Admission(mesh).fit(frame, pyramid, head.detection(turn=np.pi))
    assert fit is not None
    np.testing.assert_allclose(fit.points, head.points, atol=0.01)


def test_a_mesh_that_is_sure_at_once_is_not_turned() -> None:
    """A hand before the mouth can look like a forehead, and what is upside down be surer still."""

    class BothWays(KnownMesh):
        def fit(self, frame: Frame, pyramid: Pyramid, square: Crop) -> Fit:
            head = Head(square.x, square.y, square.side / 1.5, square.angle)
            return Fit(head.points, 0.94 if np.cos(square.angle) > 0 else 0.97)

    frame, pyramid = _frame()
    fit = Admission(BothWays(_always())).fit(frame, pyramid, Head().detection())
    assert fit is not None
    assert fit.points[10, 1] < fit.points[152, 1]


def test_other_sizes_and_quarter_turns_are_tried_before_a_box_is_refused() -> None:
    head = Head()
    frame, pyramid = _frame()
    admission = Admission(KnownMesh(_always(head)))
    for detection in (head.detection(scale=1.45), head.detection(turn=np.pi / 2)):
        assert admission.fit(frame, pyramid, detection) is not None
    assert admission.fit(frame, pyramid, Head(600, 20).detection()) is None


def test_a_small_box_must_be_surer_than_a_large_one() -> None:
    frame, pyramid = _frame()
    for height, admitted in ((30.0, False), (120.0, True)):
        head = Head(height=height, presence=0.7)
        fit = Admission(KnownMesh(_always(head))).fit(frame, pyramid, head.detection())
        assert (fit is not None) is admitted


def test_a_mesh_whose_iris_lies_outside_its_lids_is_refused() -> None:
    points = Head().points
    assert irises_fit(points)
    points[list(RIGHT_IRIS), 0] += 40
    assert not irises_fit(points)

    class AcrossTwoHeads(KnownMesh):
        def fit(self, frame: Frame, pyramid: Pyramid, square: Crop) -> Fit:
            return Fit(points, 0.96)

    frame, pyramid = _frame()
    admission = Admission(AcrossTwoHeads(_always()))
    assert admission.fit(frame, pyramid, Head().detection()) is None


def _followed(
    heads: Heads, frames: int, noise: float, picture: Callable[[int], tuple[Frame, Pyramid]]
) -> list[Points]:
    mesh = KnownMesh(heads, noise)
    track = MeshTrack.at(0, heads(0)[0].points, 1.0)
    before, found = None, []
    for index in range(frames):
        frame, pyramid = picture(index)
        track.update(mesh, frame, pyramid, before)
        before = pyramid.low.y
        found.append(track.points)
    return found


def test_a_still_face_trembles_less_than_half_of_what_the_mesh_does() -> None:
    found = np.stack(_followed(_always(Head()), 40, 0.004, lambda i: _frame(i, noise=3.0))[10:])
    raw = 0.004 * 120 * np.sqrt(6)  # the second difference of white noise
    second = found[2:, :, :2] - 2 * found[1:-1, :, :2] + found[:-2, :, :2]
    assert second.std() < 0.55 * raw


def test_a_face_that_moves_with_its_picture_has_no_lag() -> None:
    def heads(index: int) -> tuple[Head, ...]:
        return (Head(x=320 + 3 * index),)

    found = _followed(heads, 12, 0.0, lambda i: _frame(i, shift=3 * i))
    off = [float(np.abs(p - heads(i)[0].points).max()) for i, p in enumerate(found)]
    assert max(off) < 1.0


def test_a_jump_that_the_picture_does_not_explain_is_taken_at_once() -> None:
    def heads(index: int) -> tuple[Head, ...]:
        return (Head(x=320 if index < 5 else 340),)

    found = _followed(heads, 6, 0.0, _frame)
    assert np.abs(found[5] - heads(5)[0].points).max() < 0.5


def test_a_face_is_given_up_after_three_frames_without_it() -> None:
    def heads(index: int) -> tuple[Head, ...]:
        return (Head(presence=0.9 if index < 3 else 0.1),)

    track = MeshTrack.at(0, heads(0)[0].points, 1.0)
    mesh, lost = KnownMesh(heads), []
    for index in range(8):
        frame, pyramid = _frame(index)
        track.update(mesh, frame, pyramid, None)
        lost.append(track.is_lost)
    assert lost == [False] * 5 + [True] * 3


def test_the_square_stays_while_a_face_only_trembles_and_follows_without_jumps() -> None:
    square = mesh_square(Head().points)
    near = replace(square, x=square.x + 0.03 * square.side, side=1.04 * square.side)
    assert led(square, near) == square
    steps, place = [], square
    for step in range(12):
        wanted = replace(square, x=square.x + step * 0.02 * square.side)
        new = led(place, wanted)
        steps.append((new.x - place.x) / square.side)
        place = new
    assert max(steps) < 0.021
    assert place.x == pytest.approx(square.x + (0.22 - 0.04) * square.side)


def _labels(head: Head, mouth: bool = True) -> Plane:
    """Drawn by the mesh: skin, eyes and, unless it is hidden, lips."""
    import cv2

    labels = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    points = head.points
    parts = [(raised_oval(points), FaceClass.SKIN), (outline(points, LEFT_EYE), FaceClass.LEFT_EYE)]
    if mouth:
        parts.append((outline(points, LIPS_OUTER), FaceClass.LIPS))
    for corners, label in parts:
        cv2.fillPoly(labels, [np.rint(corners).astype(np.int32)], int(label))
    return labels


class _LabelParser:
    """Parses by labels that may be changed."""

    def __init__(self, labels: Plane) -> None:
        self.labels = labels

    def __enter__(self) -> _LabelParser:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def parse(self, frame: Frame, pyramid: Pyramid, crop: Crop) -> np.ndarray:
        return planes_of(self.labels, crop)


def _at(plane: Plane, to_frame: np.ndarray, place: np.ndarray) -> int:
    """What a plane in a crop's pixels says at a place in the frame."""
    import cv2

    back = cv2.invertAffineTransform(to_frame)
    x, y = back[:, :2] @ place + back[:, 2]
    return int(plane[int(y), int(x)])


def test_a_parse_moves_with_the_mesh() -> None:
    head, later = Head(), Head(350, 160, 140, 0.2)
    parser = RegionParser(_LabelParser(_labels(head)))
    parsed = parser.parse(*_frame(), head.points, None)
    for there in (head, later):
        regions = parsed.on(there.points)
        mouth = there.points[[13, 14], :2].mean(axis=0)
        assert _at(regions.probs[FaceClass.LIPS], regions.to_frame, mouth) > 200
        assert regions.points is not None
        np.testing.assert_array_equal(regions.points, there.points)


def test_the_square_for_the_parser_holds_the_whole_face_and_is_level() -> None:
    for head in (Head(), Head(angle=1.2), Head(angle=np.pi)):
        crop = parse_square(head.points)
        back = np.linalg.inv(np.vstack([crop.to_frame(1), [0, 0, 1]]))
        corners = np.column_stack([raised_oval(head.points), np.ones(36)]) @ back.T
        assert corners[:, :2].min() > 0.1
        assert corners[:, :2].max() < 0.9
        eyes = np.column_stack([head.points[[33, 263], :2], np.ones(2)]) @ back.T
        assert eyes[0, 1] == pytest.approx(eyes[1, 1], abs=0.01)
        assert eyes[0, 0] < eyes[1, 0]


def test_what_comes_before_a_mouth_that_was_seen_shuts_its_gate_and_a_beard_does_not() -> None:
    head = Head()
    mouth = head.points[[13, 14], :2].mean(axis=0)
    seen, hidden = _LabelParser(_labels(head)), _LabelParser(_labels(head, mouth=False))
    first = RegionParser(seen).parse(*_frame(), head.points, None)
    assert first.regions.gates is not None
    assert first.regions.gates.mouth_seen > 0.8
    assert _at(first.regions.gates.mouth, first.regions.to_frame, mouth) > 240
    covered = RegionParser(hidden).parse(*_frame(1), head.points, first)
    assert covered.regions.gates is not None
    assert covered.regions.gates.mouth_seen < 0.2
    assert _at(covered.regions.gates.mouth, covered.regions.to_frame, mouth) < 20
    bearded = RegionParser(hidden).parse(*_frame(), head.points, None)
    assert bearded.regions.gates is not None
    assert _at(bearded.regions.gates.mouth, bearded.regions.to_frame, mouth) > 240


def test_a_neighbour_is_left_out_of_a_parse() -> None:
    head, other = Head(250), Head(250 + 130)
    labels = np.maximum(_labels(head), _labels(other))
    parsed = RegionParser(_LabelParser(labels)).parse(*_frame(), head.points, None)
    place = other.points[[13, 14], :2].mean(axis=0)
    crop = parsed.regions.probs
    back = np.linalg.inv(np.vstack([parsed.regions.to_frame, [0, 0, 1]]))
    x, y = (back @ (*place, 1))[:2]
    if 0 <= x < crop.shape[2] and 0 <= y < crop.shape[1]:
        assert _at(crop[FaceClass.LIPS], parsed.regions.to_frame, place) == 0
    edge = (int(back[0] @ (other.x - 40, other.y, 1)), int(back[1] @ (other.x - 40, other.y, 1)))
    assert crop[FaceClass.SKIN, edge[1], min(edge[0], crop.shape[2] - 1)] == 0


def test_outlines_are_what_they_say() -> None:
    points = Head().points
    assert face_height(points) == pytest.approx(120, rel=0.01)
    assert 0.5 < openness(points, 0) <= 1
    assert visibility(points, 0) == visibility(points, 1) == 1
    assert abs(yaw_degrees(points)) < 10
    shut = points.copy()
    shut[list(LEFT_EYE), 1] = shut[33, 1]
    assert openness(shut, 0) == 0
    aside = points.copy()
    aside[list(LEFT_EYE), 0] = shut[33, 0] + 0.3 * (aside[list(LEFT_EYE), 0] - shut[33, 0])
    aside[454, 2] += 120
    assert visibility(aside, 0) == 0
    assert visibility(aside, 1) == 1
    corners = outline(points, LIPS_OUTER)
    assert len(smooth_outline(corners)) == 80
    assert area(smooth_outline(corners)) == pytest.approx(area(corners), rel=0.05)
    motion = similarity(points, Head(200, 100, 60, 0.5).points)
    assert np.hypot(motion[0, 0], motion[1, 0]) == pytest.approx(0.5, rel=0.01)
    assert np.arctan2(motion[1, 0], motion[0, 0]) == pytest.approx(0.5, abs=0.01)


def test_a_detection_beside_another_keeps_its_own_square() -> None:
    square = Detection(0.9, 100, 50, 40, 60, np.array([[90.0, 40.0], [110.0, 60.0]])).square()
    assert (square.x, square.y, square.side) == (100, 50, 90)
    assert np.degrees(square.angle) == pytest.approx(45)
