from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from export.data.manifest import read_face, read_manifest, read_person, read_set, rows_of
from export.data.notes import Notes
from export.errors import ExportError
from tests.data import SHARED, why_absent


def test_notes_are_remarks() -> None:
    notes = Notes.of("crop; person 29%; ignore 1.2%; photo CC BY 2.0; flickr photo 9")
    assert "crop" in notes
    assert "person" not in notes
    assert (notes.ignores, notes.photo_licence, notes.alpha) == (True, "CC BY 2.0", "")
    assert not Notes.of("nothing to ignore").ignores


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("alpha alpha/x_1.png; shout", "alpha/x_1.png"),
        (
            "points: hand-placed; alpha ../../person/cutouts/alpha/c.png",
            "../../person/cutouts/alpha/c.png",
        ),
        ("alpha matte; colour decontaminated", ""),
        ("no alpha file", ""),
    ],
)
def test_the_alpha_that_notes_name(text: str, path: str) -> None:
    assert Notes.of(text).alpha == path


def _face_set(folder: Path, notes: str) -> Path:
    for part in ("images", "labels", "alpha"):
        (folder / part).mkdir(parents=True)
    label = np.zeros((4, 6), np.uint8)
    label[1:3, 1:3] = (1, 2)
    cv2.imwrite(str(folder / "images/a.png"), np.full((4, 6, 3), 90, np.uint8))
    cv2.imwrite(str(folder / "labels/a.png"), label)
    cv2.imwrite(str(folder / "alpha/a.png"), np.full((4, 6), 77, np.uint8))
    row = f"images/a.png,labels/a.png,ann,train,6,4,{notes}"
    (folder / "manifest.csv").write_text(f"file,label,identity,split,width,height,notes\n{row}\n")
    return folder


def test_a_person_of_a_face_set_is_its_alpha_or_all_its_classes(tmp_path: Path) -> None:
    with_alpha = read_set(_face_set(tmp_path / "face/one", "alpha alpha/a.png"), "train")[0]
    assert (with_alpha.alpha == 77).all()
    folder = _face_set(tmp_path / "face/other", "CelebAMask-HQ hand labels")
    plain = read_set(folder, "train")[0]
    face = read_face(read_manifest(folder)[0])
    np.testing.assert_array_equal(plain.alpha, np.where(face.label > 0, 255, 0))
    assert plain.valid.all()
    (folder.parent / "other").rename(tmp_path / "masks")
    with pytest.raises(ExportError, match=r"labels/a\.png: holds 0 to 2; a mask of a person"):
        read_set(tmp_path / "masks", "train")


def test_an_eighth_of_the_webcams_is_kept_aside(tmp_path: Path) -> None:
    folder = tmp_path / "person/webcam_people"
    folder.mkdir(parents=True)
    rows = [f"images/{i}.png,,person {i},train,6,4,made up" for i in range(400)]
    rows += ["images/t.png,,tested,test,6,4,", "images/u.png,,tested,train,6,4,"]
    text = "\n".join(("file,label,identity,split,width,height,notes", *rows))
    (folder / "manifest.csv").write_text(text)
    train, development = rows_of(folder, "train"), rows_of(folder, "development")
    assert len(train) + len(development) == 400
    assert 25 < len(development) < 75
    assert not {x.identity for x in train} & {x.identity for x in development}


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [
        ("person/webcam_people", 415, 68),
        ("person/webcam_people2", 123, 0),
        ("person/clips_people", 49, 6),
        ("backgrounds_negatives", 233, 36),
        ("face/celebamask", 857, 123),
    ],
)
def test_the_shared_sets(name: str, train: int, test: int) -> None:
    """Some pictures of each are read, too."""
    folder = SHARED / "data" / name
    if not folder.is_dir():
        pytest.skip(why_absent(folder))
    rows = rows_of(folder, "train")
    assert len(rows) + len(rows_of(folder, "development")) == train
    assert len(rows_of(folder, "test")) == test
    for row in rows[:: len(rows) // 3]:
        item = read_person(row)
        assert item.image.shape[:2] == item.alpha.shape == item.valid.shape
        assert item.is_room == (name == "backgrounds_negatives")
        assert 0.9 < item.valid.mean() <= 1
        if row.holds_classes:
            assert 2 in read_face(row).label
