from __future__ import annotations

import numpy as np
import pytest

from export.data.notes import Notes
from export.evaluation.conditions import framing, light, skin
from export.evaluation.measures import (
    boundary_matches,
    class_overlaps,
    f_score,
    overlap,
    ratio,
    summarise,
)


def _left(width: int, size: int) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return np.tile(np.arange(size) < width, (size, 1))


def test_overlap_leaves_ignored_pixels_out() -> None:
    wanted = np.array([[True, True, False, False]])
    counts = np.array([[True, True, True, False]])
    assert ratio(overlap(np.array([[True, False, False, True]]), wanted, counts)) == 0.5
    assert ratio(overlap(np.array([[True, True, True, False]]), wanted, counts)) == pytest.approx(
        2 / 3
    )
    assert ratio(overlap(wanted & False, wanted & False, counts)) == 1.0


@pytest.mark.parametrize(
    ("size", "off", "expected"),
    [
        (512, 0, 1.0),
        (512, 2, 1.0),
        (512, 3, 0.0),
        (1024, 4, 1.0),
        (1024, 5, 0.0),
        (256, 1, 1.0),
        (256, 2, 0.0),
    ],
)
def test_outlines_may_be_two_pixels_of_512_apart(size: int, off: int, expected: float) -> None:
    everywhere = np.ones((size, size), bool)
    assert (
        f_score(boundary_matches(_left(100 + off, size), _left(100, size), everywhere)) == expected
    )


def test_outlines_that_do_not_count() -> None:
    person = np.zeros((40, 40), bool)
    person[10:] = True
    counts = np.ones((40, 40), bool)
    assert boundary_matches(person, person, counts).tolist() == [
        40,
        40,
        40,
        40,
    ]  # not those at the picture's edge
    counts[:, :30] = False
    assert boundary_matches(person, person, counts).tolist() == [9, 9, 9, 9]
    assert f_score(boundary_matches(person, person & False, counts)) == 0.0
    assert f_score(boundary_matches(person & False, person & False, counts)) == 1.0


def test_no_outline_where_ignored_pixels_begin() -> None:
    """A label ends there only because nobody has looked further."""
    person, counts = np.zeros((64, 64), bool), np.ones((64, 64), bool)
    person[20:44, 20:44] = True
    counts[20:44, 32:40] = False
    label = person & counts
    assert f_score(boundary_matches(person, label, counts)) == 1.0
    counts = np.ones((512, 512), bool)
    counts[200:] = False
    row = np.indices((512, 512))[0]
    upper, lower = row >= 196, row >= 197
    assert boundary_matches(upper, lower, counts).tolist() == [
        512,
        512,
        0,
        0,
    ]  # one counts, the other is within reach
    assert f_score(boundary_matches(upper, lower, counts)) == 1.0
    assert f_score(boundary_matches(upper, row < 0, counts)) == 0.0


def test_precision_and_recall_both_count() -> None:
    assert f_score(np.array([10, 10, 5, 10])) == pytest.approx(2 * 0.5 / 1.5)
    assert f_score(np.array([5, 10, 10, 10])) == pytest.approx(2 * 0.5 / 1.5)


def test_classes_in_groups() -> None:
    found = np.array([[3, 4, 0, 7]], np.uint8)
    wanted = np.array([[4, 4, 0, 8]], np.uint8)
    counts = np.array([[True, True, True, True]])
    assert class_overlaps(found, wanted, counts, [(3, 4), (4,), (7,)]).tolist() == [
        [2, 2],
        [1, 2],
        [0, 1],
    ]


def test_a_score_keeps_what_it_has() -> None:
    assert summarise("a", "iou", [0.5, 1.0], None).row() == {
        "set": "a",
        "metric": "iou",
        "images": 2,
        "mean": 0.75,
        "worst": 0.5,
        "median": 0.75,
    }
    assert summarise("a", "iou", [0.5], 0.25, "light: dark").row()["condition"] == "light: dark"
    assert summarise("a", "iou", [0.0], 0.0).row()["pooled"] == 0.0


def test_conditions() -> None:
    grey = np.full((4, 4, 3), 100, np.uint8)
    assert [light(grey - 50), light(grey), light(grey + 100)] == [
        "light: dark",
        "light: medium",
        "light: bright",
    ]
    label = np.full((4, 4), 2, np.uint8)
    assert [skin(grey + x, label) for x in (0, 40, 80)] == [
        "skin: dark",
        "skin: medium",
        "skin: light",
    ]
    assert not skin(grey, label * 0)
    assert framing(Notes.of("aspect 16:9; person 92% of height; tight")) == "framing: head to hip"
    assert framing(Notes.of("aspect 16:9; person 60% of height")) == "framing: head to chest"
    assert framing(Notes.of("crop; person 29%")) == "framing: around a person"
    assert framing(Notes.of("full frame; person 29%")) == "framing: whole photo"
    assert not framing(Notes.of("no person"))
