from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from export.data.image import Image
from export.evaluation.confusion import Confusion
from export.evaluation.pictures import Pictures
from export.evaluation.plots import write_plots
from export.evaluation.scenes import placed
from export.evaluation.still import evaluate
from export.models import V2_CLASSES

_VALID = np.ones((1, 6), np.uint8)


def _row(*classes: int) -> Image:
    return np.array([classes], np.uint8)


def test_over_the_set_is_not_the_mean_of_pictures() -> None:
    """By hand: of the person 4 of 6 and 1 of 1 pixels, so 5 of 7 over the set, not 0.83."""
    confusion = Confusion()
    confusion.saw("a", _row(1, 1, 1, 1, 0, 0), _row(1, 1, 1, 1, 1, 1), _VALID)
    confusion.saw("a", _row(0, 0, 0, 0, 0, 1), _row(0, 0, 0, 0, 0, 1), _VALID)
    score = confusion.score("a")
    assert score.iou == (5 / 7, 5 / 7)
    assert score.accuracy == (1.0, 5 / 7)
    assert score.miou == pytest.approx(5 / 7)
    assert score.all_accuracy == pytest.approx(10 / 12)
    confusion.saw("a", _row(1, 1, 1, 1, 1, 1), _row(0, 0, 0, 0, 0, 0), 0 * _VALID)
    assert confusion.score("a") == score  # ignored pixels


def test_a_class_that_nobody_gives_is_left_out(tmp_path: Path) -> None:
    """Classes of version 2 lack the person, whose number its labels pass over."""
    confusion = Confusion(V2_CLASSES)
    confusion.saw("faces", _row(0, 2, 2, 7, 7, 0), _row(0, 2, 2, 7, 8, 2), _VALID)
    score = confusion.score("faces")
    named = dict(zip(score.classes, score.iou, strict=True))
    assert named["skin"] == pytest.approx(2 / 3)
    assert named["lips"] == 0.5
    assert named["teeth"] == 0.0  # in the label alone
    assert named["left eye"] is None
    assert score.miou == pytest.approx((0.5 + 2 / 3 + 0.5 + 0) / 4)
    confusion.write(tmp_path / "c.csv")
    with (tmp_path / "c.csv").open(newline="") as file:
        rows = {row["label"]: row for row in csv.DictReader(file)}
    assert rows["teeth"]["lips"] == "1"
    assert rows["left eye"]["iou"] == ""


class _Bright:
    def alpha(self, image: Image) -> Image:
        return np.where(image.min(axis=2) > 160, 255, 0).astype(np.uint8)


@pytest.mark.slow
def test_plots_of_an_evaluation(data: Path, tmp_path: Path) -> None:
    confusion = Confusion()
    pictures = Pictures(confusion=confusion)
    scores = evaluate(_Bright(), data, most=2, pictures=pictures)
    assert confusion.score("person/ccp").miou == 1.0
    paths = write_plots(tmp_path / "plots", confusion, scores)
    names = {path.name for path in paths}
    assert {"confusion person_ccp.png", "iou by class.png", "iou by condition.png"} <= names
    for path in paths:
        plot = cv2.imread(str(path))
        assert plot is not None
        assert len(np.unique(plot)) > 10


def test_pictures_in_an_input_of_another_shape() -> None:
    image = np.full((30, 60, 3), 200, np.uint8)
    whole, box = placed(image, (64, 64), "letterbox")
    assert (box[0].start, box[0].stop, box[1].start, box[1].stop) == (16, 48, 0, 64)
    assert (whole[box] == 200).all()
    assert (whole[:16] == 128).all()
    corner, box = placed(image, (64, 64), "corner")
    assert box[0] == slice(0, 32)
    assert not corner[32:].any()
    stretched, box = placed(image, (64, 64), "stretch")
    assert (stretched == 200).all()
    assert box == (slice(0, 64), slice(0, 64))
