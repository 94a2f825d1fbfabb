from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from export.data.image import Image
from export.data.items import LabelledFace
from export.errors import ExportError
from export.evaluation.faces import face_crop
from export.evaluation.faces import test_faces as faces_of
from export.evaluation.measures import Score
from export.evaluation.still import evaluate
from export.models import V1_CLASSES, V2_CLASSES
from tests.export.conftest import make_set

_LEVEL = 25
"""A pixel of class n has the level 25 n in the made-up pictures."""


class _Reader:
    """Knows what the made-up pictures mean; `classes` are those it can name, and `wrong` others
    that it mixes up.
    """

    def __init__(self, classes: tuple[str, ...], wrong: dict[str, str] | None = None) -> None:
        self.classes = classes
        names = [(wrong or {}).get(name, name) for name in V1_CLASSES]
        self._index = np.array([classes.index(x) if x in classes else 0 for x in names], np.uint8)

    def labels(self, image: Image) -> Image:
        return self._index[np.clip(np.rint(image[..., 0] / _LEVEL), 0, 8).astype(np.uint8)]


def _label(teeth: bool) -> Image:
    label = np.zeros((80, 60), np.uint8)
    label[20:, 10:50] = 1
    label[25:65, 15:45] = 2
    label[32:34, 18:28], label[32:34, 33:43] = 3, 4
    label[36:39, 19:27], label[36:39, 34:42] = 5, 6
    label[52:58, 22:38] = 7
    if teeth:
        label[54:56, 24:36] = 8
    return label


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """face/real: two test pictures, only the first with checked teeth; face/avatars: one, with
    alpha; rooms.
    """
    data = tmp_path_factory.mktemp("faces")
    for name, notes in (
        ("face/real", ["teeth_checked; alpha ../../person/cutouts/alpha/x.png", "alpha ../x.png"]),
        ("face/avatars", ["alpha alpha/0.png; smile"]),
    ):
        for part in ("images", "labels", "alpha"):
            (data / name / part).mkdir(parents=True)
        lines = ["file,label,identity,split,width,height,notes"]
        for index, note in enumerate(notes):
            label = _label(teeth=True)
            cv2.imwrite(str(data / name / f"images/{index}.png"), cv2.merge([label * _LEVEL] * 3))
            cv2.imwrite(str(data / name / f"labels/{index}.png"), label)
            cv2.imwrite(str(data / name / f"alpha/{index}.png"), (label > 0).astype(np.uint8) * 255)
            lines.append(f"images/{index}.png,labels/{index}.png,p{index},test,60,80,{note}")
        (data / name / "manifest.csv").write_text("\n".join(lines) + "\n")
    for name in ("backgrounds", "backgrounds_rooms"):
        make_set(data / name, people=False, empty_too=False)
    return data


def _by_metric(scores: list[Score], name: str = "face/real") -> dict[str, Score]:
    return {x.metric: x for x in scores if x.set == name and not x.condition}


def test_a_right_answer_scores_one(faces: Path) -> None:
    scores = evaluate(_Reader(V1_CLASSES), faces)
    real = _by_metric(scores)
    parts = [f"iou {x}" for x in ("background", "person", "skin", "brows", "eyes", "lips", "teeth")]
    assert list(real) == ["miou", *parts]
    assert {x.mean for x in real.values()} == {x.pooled for x in real.values()} == {1.0}
    assert real["iou teeth"].images == 1  # of the two, one was checked
    assert real["iou lips"].images == 2
    avatars = _by_metric(scores, "face/avatars")
    assert avatars["iou teeth"].images == 1
    assert avatars["iou lips"].mean == 1.0


def test_left_for_right_is_wrong_for_the_classes_only(faces: Path) -> None:
    swapped = {"left eye": "right eye", "right eye": "left eye"}
    scores = _by_metric(evaluate(_Reader(V1_CLASSES, swapped), faces))
    assert scores["iou eyes"].mean == 1.0
    assert scores["miou"].mean == pytest.approx(
        (7 / 9 + 6 / 8) / 2, abs=1e-4
    )  # teeth: of the one that was checked


def test_a_mixed_up_part(faces: Path) -> None:
    scores = _by_metric(evaluate(_Reader(V1_CLASSES, {"teeth": "lips"}), faces))
    assert scores["iou teeth"].mean == 0.0
    assert scores["iou lips"].mean == pytest.approx((6 * 16 - 2 * 12) / (6 * 16))
    assert scores["iou skin"].mean == 1.0
    lips = scores["iou lips"].mean
    checked, unchecked = (
        (7 + lips) / 9,
        (7 + lips) / 8,
    )  # where nobody looked at the teeth, no class of them counts
    assert scores["miou"].mean == pytest.approx((checked + unchecked) / 2, abs=1e-4)


def test_an_engine_with_fewer_classes(faces: Path) -> None:
    scores = _by_metric(evaluate(_Reader(V2_CLASSES), faces))
    assert "iou person" not in scores
    assert scores["miou"].mean == scores["iou background"].mean == 1.0


def test_one_set_in_a_known_layout(faces: Path) -> None:
    scores = [x for x in evaluate(_Reader(V1_CLASSES), faces / "face/real") if not x.condition]
    assert {(x.set, x.mean) for x in scores} == {("real", 1.0)}
    assert [x.images for x in scores if x.metric == "iou teeth"] == [2]


def test_a_rendered_face_stands_before_a_room(faces: Path) -> None:
    face, again = (next(faces_of(faces, "face/avatars")) for _ in range(2))
    np.testing.assert_array_equal(face.image, again.image)
    assert face.image[0, 0].any()
    assert (face.image[face.label == 2] == 2 * _LEVEL).all()


def test_the_crop_is_1_7_times_the_face_high_around_its_middle() -> None:
    label = _label(teeth=False)
    image = np.dstack([label * _LEVEL] * 3)
    crop = face_crop(LabelledFace("x", image, label, np.ones(label.shape, np.uint8)))
    assert crop is not None
    assert crop.image.shape == (68, 68, 3)  # the face is 40 high, rows 25 to 65, columns 15 to 45
    rows, columns = (
        np.flatnonzero((crop.label >= 2).any(1)),
        np.flatnonzero((crop.label >= 2).any(0)),
    )
    assert [rows[0], rows[-1], columns[0], columns[-1]] == [14, 53, 19, 48]
    assert not crop.valid[:, :4].any()
    assert not crop.valid[:, 64:].any()
    assert crop.valid[:, 4:64].all()
    assert (crop.image[crop.valid > 0][:, 0] == crop.label[crop.valid > 0] * _LEVEL).all()
    assert face_crop(LabelledFace("x", image, label * 0, label)) is None


def test_a_mask_is_no_label(data: Path) -> None:
    with pytest.raises(ExportError, match=r"images/2\.png has no label of a face"):
        list(faces_of(data, "person/ccp"))
