from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from export.data.faces import TEETH, FaceLibrary, draw_face, read_faces, skin_box
from export.data.image import Image
from export.data.items import LabelledFace
from export.errors import ExportError
from tests.export.conftest import make_data


def test_faces_and_their_boxes(data: Path) -> None:
    faces = read_faces(data / "face/real", "train")
    assert [face.name for face in faces] == ["images/0.png", "images/1.png"]
    assert faces[0].box == (18, 10, 46, 50)
    assert faces[0].alpha is not None
    assert set(np.unique(faces[0].label)) == set(range(9))
    assert faces[0].image[11, 40].tolist() == [170, 170, 170]
    assert skin_box(np.zeros((4, 6), np.uint8)) == (0, 0, 6, 4)


def test_shrunk(data: Path) -> None:
    face = read_faces(data / "face/real", "train", longest_px=32)[0]
    assert face.label.shape == face.image.shape[:2] == (30, 32)
    assert face.alpha is not None
    assert face.alpha.shape == (30, 32)
    assert face.label.max() <= TEETH


def test_mirroring_swaps_left_and_right(data: Path) -> None:
    """The left eye of the made-up faces is green, the right one blue: whatever is drawn, left stays
    left.
    """
    library = FaceLibrary.read(data, "train")
    checked = 0
    for seed in range(60):
        sample = draw_face(library, (96, 96), np.random.default_rng(seed), finish=True)
        left, right = (np.argwhere(sample.target == value) for value in (5, 6))
        if len(left) > 8 and len(right) > 8:
            assert left[:, 1].mean() < right[:, 1].mean()
            checked += 1
    assert checked > 20


def test_samples(data: Path) -> None:
    library = FaceLibrary.read(data, "train")
    first, second = (draw_face(library, (64, 96), np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first.image, second.image)
    assert first.image.shape == (64, 96, 3)
    assert first.target.shape == first.valid.shape == (64, 96)
    labels = [
        draw_face(library, (64, 96), np.random.default_rng(seed)).target for seed in range(40)
    ]
    assert any(not label.any() for label in labels)  # a room without anybody
    assert any((label == TEETH).any() for label in labels)


def test_no_faces(tmp_path: Path) -> None:
    folder = make_data(tmp_path)
    manifest = folder / "face/real/manifest.csv"
    manifest.write_text(manifest.read_text().replace(",train,", ",test,"))
    with pytest.raises(ExportError, match="no real faces in the train split"):
        FaceLibrary.read(folder, "train")


def test_faces_from_elsewhere() -> None:
    label = np.full((40, 40), 2, np.uint8)
    item = LabelledFace("a", np.full((40, 40, 3), 90, np.uint8), label, np.ones_like(label))
    library = FaceLibrary.read(None, "train", more=[item])
    samples = [draw_face(library, (32, 32), np.random.default_rng(seed)) for seed in range(20)]
    assert all((sample.target == 2).any() for sample in samples)


class _Counted(Sequence[LabelledFace]):
    """Faces of which every third shows teeth; `asked` are those that were read."""

    def __init__(self, count: int) -> None:
        self._count, self.asked = count, list[int]()

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        if index >= self._count:
            raise IndexError(index)
        self.asked.append(index)
        label = np.full((40, 40), 2, np.uint8)
        label[20:30, 10:30] = 7 if index % 3 else TEETH
        return LabelledFace(
            str(index), np.full((40, 40, 3), 90, np.uint8), label, np.ones_like(label)
        )


def test_faces_from_elsewhere_are_read_when_they_are_drawn() -> None:
    more = _Counted(5000)
    library = FaceLibrary.read(None, "train", more=more)
    assert len(more.asked) == len(set(more.asked)) == 1000
    assert max(more.asked) > 4900
    assert len(library.real) == 5000
    assert 320 <= len(library.smiling) <= 340
    assert all((face.label == TEETH).any() for face in library.smiling)
    assert library.real[7].box == (0, 0, 40, 40)
    more.asked.clear()
    draw_face(library, (32, 32), np.random.default_rng(1), occluders=0.0)
    assert len(more.asked) == 1


def test_own_faces_and_others_are_drawn_alike(data: Path) -> None:
    library = FaceLibrary.read(data, "train", more=_Counted(4))
    assert [face.name for face in library.real] == [
        "images/0.png",
        "images/1.png",
        "0",
        "1",
        "2",
        "3",
    ]
    assert [face.name for face in library.smiling] == [
        "0",
        "3",
    ]  # the teeth of the first two are too small


def test_the_share_of_occluders() -> None:
    library = FaceLibrary.read(None, "train", more=_Counted(4))

    def label(seed: int, occluders: float) -> Image:
        return draw_face(library, (64, 64), np.random.default_rng(seed), occluders=occluders).target

    def covered(share: float) -> int:
        """How many of 40 labels differ from those without occluders."""
        return sum(not np.array_equal(label(seed, share), label(seed, 0.0)) for seed in range(40))

    assert covered(1.0) >= 36
    assert 10 <= covered(0.5) <= 30


def test_an_alpha_of_another_size(tmp_path: Path) -> None:
    folder = make_data(tmp_path) / "face/real"
    path = folder / "alpha/0.png"
    plane = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert plane is not None
    cv2.imwrite(str(path), cv2.resize(plane, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST))
    alpha = read_faces(folder, "train")[0].alpha
    np.testing.assert_array_equal(alpha, plane)
    cv2.imwrite(str(path), plane[:30])
    with pytest.raises(ExportError, match=r"alpha/0\.png: 64x30, but its label 64x60"):
        read_faces(folder, "train")


def test_what_nobody_labelled_does_not_count() -> None:
    label = np.full((60, 60), 2, np.uint8)
    valid = np.ones((60, 60), np.uint8)
    image = np.full((60, 60, 3), 200, np.uint8)
    label[30:44, 20:40], valid[30:44, 20:40], image[30:44, 20:40] = 0, 0, 20
    library = FaceLibrary.read(None, "train", more=[LabelledFace("mouth", image, label, valid)])
    sample = next(
        s
        for s in (
            draw_face(library, (64, 64), np.random.default_rng(seed), finish=True)
            for seed in range(9)
        )
        if np.count_nonzero(s.image.mean(axis=2) < 60) > 20 and s.image.max() > 150
    )
    dark = sample.image.mean(axis=2) < 60
    assert sample.target.max() <= 8
    assert sample.valid[dark].mean() < 0.1
    assert sample.valid[~dark].mean() > 0.5
