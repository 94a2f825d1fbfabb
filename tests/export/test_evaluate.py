from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.data.augment import Image
from export.data.person import Labelled
from export.data.scenes import composited
from export.errors import ExportError
from export.evaluate import evaluate, iou, open_matting


class _Bright:
    """Calls every bright pixel person, which is right on the made-up set."""

    def alpha(self, image: Image) -> Image:
        return np.where(image.min(axis=2) > 160, 255, 0).astype(np.uint8)


class _Everything:
    def alpha(self, image: Image) -> Image:
        return np.full(image.shape[:2], 255, np.uint8)


def test_iou_leaves_ignored_pixels_out() -> None:
    label = np.array([[255, 255, 0, 0]], np.uint8)
    valid = np.array([[1, 1, 1, 0]], np.uint8)
    item = Labelled("x", np.zeros((1, 4, 3), np.uint8), label, valid)
    assert iou(np.array([[128, 127, 0, 255]], np.uint8), item) == 0.5
    assert iou(np.array([[255, 255, 255, 0]], np.uint8), item) == pytest.approx(2 / 3)
    assert iou(label, item) == 1.0


def test_a_right_answer_scores_one(data: Path) -> None:
    scores = {score.set: score for score in evaluate(_Bright(), data)}
    assert list(scores) == [
        "person/ccp",
        "person/cutouts composited",
        "person/wild",
        "person/wild without people",
        "rooms without people",
    ]
    assert [score.images for score in scores.values()] == [2, 2, 1, 1, 4]
    assert scores["person/ccp"].mean == 1.0
    assert scores["person/wild"].mean == 1.0
    assert scores["person/cutouts composited"].mean > 0.95  # the pasted outline is soft
    assert scores["rooms without people"].mean == 0.0


def test_calling_everything_person(data: Path) -> None:
    scores = {score.set: score for score in evaluate(_Everything(), data)}
    assert scores["rooms without people"].mean == scores["person/wild without people"].mean == 1.0
    assert scores["person/ccp"].mean == pytest.approx(36 * 24 / (48 * 64), abs=1e-4)


def test_composited_is_the_same_every_time(data: Path) -> None:
    first, second = list(composited(data)), list(composited(data))
    assert len(first) == 2
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        assert one.image.shape == (360, 640, 3)
        rows = np.flatnonzero((one.alpha > 127).any(axis=1))
        assert rows[-1] == 359
        assert 0.58 < len(rows) / 360 < 0.97


def test_without_data(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="--data"):
        evaluate(_Bright(), tmp_path)


def test_not_an_engine(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"no engine\.toml that names a file"):
        open_matting(tmp_path)
    with pytest.raises(ExportError, match="cannot be read"):
        open_matting(tmp_path / "none.onnx")
    (tmp_path / "noise.onnx").write_bytes(b"noise")
    with pytest.raises(ExportError, match="ONNX Runtime cannot load it"):
        open_matting(tmp_path / "noise.onnx")
