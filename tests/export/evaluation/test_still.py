from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.data.image import Image
from export.errors import ExportError
from export.evaluation.engines import open_engine
from export.evaluation.scenes import composited
from export.evaluation.still import evaluate


class _Bright:
    """Calls every bright pixel person, which is right on the made-up set."""

    def alpha(self, image: Image) -> Image:
        return np.where(image.min(axis=2) > 160, 255, 0).astype(np.uint8)


class _Everything:
    def alpha(self, image: Image) -> Image:
        return np.full(image.shape[:2], 255, np.uint8)


def test_a_right_answer_scores_one(data: Path) -> None:
    scores = {(x.set, x.metric): x for x in evaluate(_Bright(), data) if not x.condition}
    assert list(dict.fromkeys(name for name, _ in scores)) == [
        "person/ccp",
        "person/cutouts composited",
        "person/wild",
        "person/wild without people",
        "rooms without people",
        "person/cutouts moved",
    ]
    iou = [score for (_, metric), score in scores.items() if metric in ("iou", "person_share")]
    assert [score.images for score in iou] == [2, 2, 1, 1, 4]
    for metric in ("iou", "miou", "boundary_f"):
        assert scores["person/ccp", metric].mean == scores["person/ccp", metric].pooled == 1.0
        assert scores["person/wild", metric].mean == 1.0
    assert scores["person/cutouts composited", "iou"].mean > 0.95  # the pasted outline is soft
    assert scores["rooms without people", "person_share"].mean == 0.0


def test_results_by_condition(data: Path) -> None:
    scores = [x for x in evaluate(_Bright(), data) if x.set == "person/ccp" and x.metric == "iou"]
    assert [(x.condition, x.images) for x in scores] == [("", 2), ("light: medium", 2)]


def test_calling_everything_person(data: Path) -> None:
    scores = {
        x.set: x for x in evaluate(_Everything(), data) if x.metric in ("iou", "person_share")
    }
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
    with pytest.raises(ExportError, match="no known set"):
        evaluate(_Bright(), tmp_path)


def test_one_set_in_a_known_layout(data: Path) -> None:
    scores = [x for x in evaluate(_Bright(), data / "person/ccp") if not x.condition]
    assert [(x.set, x.metric, x.images, x.mean) for x in scores] == [
        ("ccp", "iou", 2, 1.0),
        ("ccp", "miou", 2, 1.0),
        ("ccp", "boundary_f", 2, 1.0),
    ]


def test_not_an_engine(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"engine\.toml: No such file or directory"):
        open_engine(tmp_path)
    with pytest.raises(ExportError, match="cannot be read"):
        open_engine(tmp_path / "none.onnx")
    (tmp_path / "noise.onnx").write_bytes(b"noise")
    with pytest.raises(ExportError, match="ONNX Runtime cannot load it"):
        open_engine(tmp_path / "noise.onnx")
