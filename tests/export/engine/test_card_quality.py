from __future__ import annotations

import json
from pathlib import Path

import pytest

from export.engine.card_quality import quality, read_peers
from export.errors import ExportError
from export.evaluation.measures import Score

_OURS = [
    Score("person/ccp", "iou", 202, 0.95, 0.96, 0.94),
    Score("person/ccp", "boundary_f", 202, 0.7, 0.71, 0.7),
    Score("rooms", "person_share", 39, 0.01, 0.0, 0.01),
    Score("person/ccp", "iou", 20, 0.9, 0.91, 0.9, "light: dark"),
]


def test_a_row_for_each_set() -> None:
    lines = quality(_OURS).splitlines()
    assert "| Test set | pictures | IoU | median IoU | boundary F | share called person |" in lines
    assert "| person/ccp | 202 | 0.950 | 0.960 | 0.700 | - |" in lines
    assert "| rooms | 39 | - | - | - | 0.010 |" in lines
    assert "| person/ccp | light: dark | 20 | 0.900 | 0.910 |" in lines


def test_parts_of_a_face_are_pooled() -> None:
    scores = [
        Score("face/real", "miou", 9, 0.8, 0.8, 0.82),
        Score("face/real", "iou lips", 9, 0.7, 0.7, 0.85),
    ]
    assert "| face/real | 9 | 0.800 | 0.850 |" in quality(scores)
    assert "1.7 times as high as the face" in quality(scores)


def test_not_measured() -> None:
    assert quality([]) == "Not measured."


def test_others_beside(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    rows = [Score("person/ccp", "iou", 202, 0.93, 0.94).row()]
    path.write_text(json.dumps({"peers": [{"name": "other", "task": "person", "scores": rows}]}))
    peers = read_peers(path, "person")
    assert "| person/ccp | IoU | 0.950 | 0.930 |" in quality(_OURS, peers)
    assert "| Test set | measured | this engine | other |" in quality(_OURS, peers)
    assert read_peers(path, "face") == []
    path.write_text("[]")
    with pytest.raises(ExportError, match="no peers in it"):
        read_peers(path, "person")
    with pytest.raises(ExportError, match="cannot be read"):
        read_peers(tmp_path / "none.json", "person")


def test_a_measure_of_fewer_pictures_says_so() -> None:
    scores = [
        Score("face/real", "miou", 9, 0.8, 0.8, 0.82),
        Score("face/real", "iou teeth", 4, 0.7, 0.7, 0.85),
    ]
    assert "| face/real | 9 | 0.800 | 0.850 (4) |" in quality(scores)
