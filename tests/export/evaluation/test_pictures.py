from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from export.data.image import Image
from export.errors import ExportError
from export.evaluation.pictures import Pictures
from export.evaluation.still import evaluate


class _Bright:
    """Calls bright pixels person, and of every second picture nothing at all."""

    def __init__(self) -> None:
        self.calls = 0

    def alpha(self, image: Image) -> Image:
        self.calls += 1
        found = np.where(image.min(axis=2) > 160, 255, 0).astype(np.uint8)
        return found * np.uint8(self.calls % 2)


def test_every_picture_is_in_the_list_the_worst_first(data: Path, tmp_path: Path) -> None:
    engine, pictures = _Bright(), Pictures(shown=3)
    scores = evaluate(engine, data, pictures=pictures, most=2)
    pictures.write_list(tmp_path / "list.csv")
    with (tmp_path / "list.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == engine.calls
    ious = [float(row["iou"]) for row in rows if row["iou"]]
    assert ious == sorted(ious)
    assert ious[0] == 0.0
    ccp = [float(row["iou"]) for row in rows if row["set"] == "person/ccp"]
    whole = next(x for x in scores if (x.set, x.metric, x.condition) == ("person/ccp", "iou", ""))
    assert whole.mean == pytest.approx(np.mean(ccp), abs=1e-4)
    assert {x.set for x in scores if x.metric == "flicker"} == set()  # no clips with a limit


def test_the_sheet_shows_the_worst(data: Path, tmp_path: Path) -> None:
    pictures = Pictures(shown=2)
    evaluate(_Bright(), data / "person/ccp", pictures=pictures)
    pictures.write_sheet(tmp_path / "worst.png")
    sheet = cv2.imread(str(tmp_path / "worst.png"))
    assert sheet is not None
    assert sheet.shape[1] == 4 * 320  # two tiles of two pictures
    red = (sheet[..., 2] > 200) & (sheet[..., 0] < 60)
    assert red.sum() > 0.1 * sheet[..., 0].size / 4  # a whole person is missing
    with pytest.raises(ExportError, match=r"worst\.gif: give a name that ends with"):
        pictures.write_sheet(tmp_path / "worst.gif")
    with pytest.raises(ExportError, match="no pictures to show"):
        Pictures().write_sheet(tmp_path / "none.png")


def test_a_limit_takes_some_of_each_set(data: Path) -> None:
    engine = _Bright()
    scores = evaluate(engine, data, most=1)
    assert {x.images for x in scores} == {1}
