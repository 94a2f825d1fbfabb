"""What training draws."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from export.data.items import Labelled
from export.data.manifest import read_set, rows_of
from export.data.people import Library, beside_people, draw
from export.data.readers import detect
from export.errors import ExportError
from tests.export.conftest import make_set

_SIZE = (32, 32)


def _plain(level: int, alpha: int) -> Labelled:
    image = np.full((40, 60, 3), level, np.uint8)
    return Labelled("x", image, np.full((40, 60), alpha, np.uint8), np.ones((40, 60), np.uint8))


@pytest.mark.parametrize("finish", [False, True])
def test_pictures_without_anybody_have_a_share_of_their_own(finish: bool) -> None:
    """What looks like a person and is none would drown among hundreds of rooms."""
    person, room, cat = _plain(50, 255), _plain(120, 0), _plain(200, 0)
    rooms = [room] * 400 + [cat]
    people = [person]
    library = Library(people, people, people, people, rooms, [cat], people, people, people)
    rng = np.random.default_rng(1)
    samples = [draw(library, _SIZE, rng, finish) for _ in range(400)]
    cats = [s for s in samples if s.clean.mean() > 190]
    wanted = 40 if finish else 20  # 10 and 5 % of 400
    assert wanted * 0.5 <= len(cats) <= wanted * 1.5
    assert not any(s.target.any() for s in cats)


def test_nothing_is_drawn_from_an_empty_pool() -> None:
    person = _plain(50, 255)
    library = Library([person], (), (), (), (), ())
    rng = np.random.default_rng(1)
    assert all(draw(library, _SIZE, rng).target.all() for _ in range(50))


def test_what_lies_beside_people() -> None:
    """Photographs of people hold most of the things that are none."""
    alpha, valid = np.zeros((200, 300), np.uint8), np.ones((200, 300), np.uint8)
    image = np.arange(200 * 300, dtype=np.uint32).astype(np.uint8).reshape(200, 300, 1).repeat(3, 2)
    item = Labelled("x", image, alpha, valid)
    assert beside_people(item) is None  # nobody is in it
    alpha[50:200, 120:180] = 255
    part = beside_people(item)
    assert part is not None
    assert part.is_room
    np.testing.assert_array_equal(part.image, image[:, :120])
    valid[:, 60:100] = 0
    part = beside_people(item)
    assert part is not None
    np.testing.assert_array_equal(part.image, image[:, 180:])
    alpha[0, 250] = 1
    assert beside_people(item) is None  # what is left is too narrow


def _set(
    folder: Path, *rows: str, head: str = "file,label,identity,split,width,height,notes"
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.csv").write_text("\n".join((head, *rows)) + "\n", encoding="utf-8-sig")
    return folder


def test_nobody_who_is_tested_is_trained_on(tmp_path: Path) -> None:
    rows = (
        "a,,bob,train,,,",
        "b,,bob,test,,,",
        "c,,ann,train,,,",
        "d,,,train,,,",
        "e,,,test,,,",
        "f,,bob,val,,,",
    )
    folder = _set(tmp_path, *rows)
    chosen = {
        split: [row.file for row in rows_of(folder, split)] for split in ("train", "val", "test")
    }
    assert chosen == {"train": ["c", "d"], "val": [], "test": ["b", "e"]}
    folder = _set(tmp_path, "a,,train,", "b,,test,", "c,,train", head="file,label,split,notes")
    assert [row.file for row in rows_of(folder, "train")] == ["a", "c"]


def test_a_manifest_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(
        ExportError, match=r"manifest\.csv: no such file; give the data folder with --data"
    ):
        rows_of(tmp_path, "train")
    (tmp_path / "manifest.csv").write_bytes(b"file,label,split,notes\n\xe9.png,,train,\n")
    with pytest.raises(ExportError, match=r"manifest\.csv: not UTF-8"):
        rows_of(tmp_path, "train")


def test_a_label_of_another_size(tmp_path: Path) -> None:
    folder = tmp_path / "person/ccp"
    make_set(folder, people=True, empty_too=False)
    label = cv2.imread(str(folder / "masks/0.png"), cv2.IMREAD_GRAYSCALE)
    assert label is not None
    cv2.imwrite(str(folder / "masks/0.png"), label[::2, ::2])
    item = read_set(folder, "train")[0]
    assert item.image.shape[:2] == item.alpha.shape == item.valid.shape == (24, 32)
    np.testing.assert_array_equal(item.image.min(axis=2) > 160, item.alpha > 0)
    cv2.imwrite(str(folder / "masks/0.png"), label[:, ::2])
    with pytest.raises(ExportError, match=r"images/0\.png: 64x48, but its label 32x48"):
        read_set(folder, "train")


@pytest.mark.parametrize("as_reader", [False, True])
def test_classes_are_not_taken_for_a_mask(tmp_path: Path, as_reader: bool) -> None:
    folder = tmp_path / "person/ccp"
    make_set(folder, people=True, empty_too=False)
    cv2.imwrite(str(folder / "masks/0.png"), np.eye(48, 64, dtype=np.uint8))
    with pytest.raises(
        ExportError, match=r"masks/0\.png: holds 0 to 1; a mask of a person has 0 and 255"
    ):
        list(detect(folder).people("train")) if as_reader else read_set(folder, "train")


def test_nothing_to_draw_from() -> None:
    with pytest.raises(ExportError, match="--data: no photos in the train split under licence any"):
        Library.read(None, "train")
