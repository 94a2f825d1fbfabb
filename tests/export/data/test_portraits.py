"""Sets of people with masks, and what every set has in common."""

from __future__ import annotations

import types
from pathlib import Path

import cv2
import numpy as np
import pytest

from export.data.image import Image
from export.data.items import Labelled
from export.data.readers import LazyFaces, LazyPeople, Reader, detect
from export.data.readers.portraits import Eg1800, PlainFolder, SupervisePortrait
from export.errors import ExportError
from tests.export.tiny_sets import SIZE, block, palette_png, write


def test_eg1800(tmp_path: Path) -> None:
    marked = block(1)
    marked[0, 0] = 2  # of its other marks none is a person
    for name, mask in (("00001.png", marked), ("00002.png", block(255)), ("00003.png", block(1))):
        write(tmp_path / "Images" / name)
        write(tmp_path / "Labels" / name, mask)
    (tmp_path / "eg1800_train.txt").write_text("00001.png\n00002.png\n")
    (tmp_path / "eg1800_test.txt").write_text("00003.png\n")
    reader = detect(tmp_path)
    assert isinstance(reader, Eg1800)
    train = list(reader.people("train"))
    assert [item.name for item in train] == ["00001.png", "00002.png"]
    for item in (*train, *reader.people("test")):
        np.testing.assert_array_equal(item.alpha, block())
        assert item.valid.all()
    assert train[0].image[0, 0].tolist() == [0, 0, 200]  # red, green, blue
    assert not list(reader.people("val"))
    with pytest.raises(ExportError, match="no labels of a face"):
        next(reader.faces("train"))


def _eg1800(folder: Path, mask: Image) -> Reader:
    write(folder / "Images/1.png")
    write(folder / "Labels/1.png", mask)
    (folder / "eg1800_train.txt").write_text("1.png\n")
    (folder / "eg1800_test.txt").write_text("")
    return detect(folder)


def test_masks_of_eg1800(tmp_path: Path) -> None:
    both = block(1)
    both[4] = 255
    (item,) = _eg1800(tmp_path, both).people("train")
    assert not item.alpha[4].any()
    assert not item.valid[4].any()
    assert item.alpha[5, 5:11].all()
    soft = np.tile(np.arange(SIZE[1], dtype=np.uint8) * 17, (SIZE[0], 1))
    soft[0] = np.arange(SIZE[1])
    (item,) = _eg1800(tmp_path, soft).people("train")
    np.testing.assert_array_equal(item.alpha, np.where(soft >= 128, 255, 0))
    with pytest.raises(
        ExportError, match=r"1\.png: nobody in it, only 0, 15; a person is 1, or 255"
    ):
        next(_eg1800(tmp_path, block(15)).people("train"))


@pytest.mark.parametrize("inside", [True, False])
def test_supervise_portrait(tmp_path: Path, inside: bool) -> None:
    part = "SuperviselyPerson_ds6"
    root = tmp_path / "Supervisely_face" if inside else tmp_path
    for name in ("a.png", "b.jpg"):
        write(root / part / "img" / name)
        cv2.imwrite(str(root / part / "ann.png"), block(7))
        (root / part / "ann").mkdir(exist_ok=True)
        (root / part / "ann" / name).write_bytes((root / part / "ann.png").read_bytes())
    for split, name in (("train", "a.png"), ("test", "b.jpg")):
        line = f"Supervisely_face/{part}/img/{name}\n"
        (tmp_path / f"supervisely_face_{split}_easy.txt").write_text(line)
    reader = detect(tmp_path)
    assert isinstance(reader, SupervisePortrait)
    (item,) = reader.people("test")
    assert item.name.endswith("b.jpg")
    np.testing.assert_array_equal(item.alpha, block())
    assert len(list(reader.people("train"))) == 1


def test_a_plain_folder(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        write(tmp_path / split / "images" / "x.jpg")
        write(tmp_path / split / "masks" / "x.png", _soft() if split == "valid" else block(1))
    reader = detect(tmp_path)
    assert isinstance(reader, PlainFolder)
    assert next(reader.people("train")).alpha.max() == 255
    np.testing.assert_array_equal(next(reader.people("val")).alpha, _soft())
    assert not list(reader.people("train", "clear"))  # nobody said whose pictures they are


def _soft() -> Image:
    return (np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) + 20).astype(np.uint8)


def test_splits_inside_a_plain_folder(tmp_path: Path) -> None:
    for split in ("train", "val", "valid", "test"):
        for index in range(9):
            write(tmp_path / "images" / split / f"{index}.bmp")
            write(tmp_path / "masks" / split / f"{index}.png", block())
    reader = detect(tmp_path)
    names = {
        split: {Path(x.name).parts[0] for x in reader.chosen(split)}
        for split in ("train", "val", "test")
    }
    assert names == {"train": {"train"}, "val": {"val", "valid"}, "test": {"test"}}


def _plain(folder: Path, *masks: Image) -> list[Labelled]:
    """What is read of a folder whose training pictures have these masks."""
    for index, mask in enumerate(masks):
        write(folder / f"train/images/{index}.jpg")
        write(folder / f"train/masks/{index}.png", mask)
    return list(detect(folder).people("train"))


@pytest.mark.parametrize("value", [1, 255])
def test_masks_of_two_values(tmp_path: Path, value: int) -> None:
    for item, mask in zip(
        _plain(tmp_path, block(value), block(0)), (block(), block(0)), strict=True
    ):
        np.testing.assert_array_equal(item.alpha, mask)
        assert item.valid.all()


def test_255_beside_1_is_ignored_in_the_whole_folder(tmp_path: Path) -> None:
    void = block(1)
    void[4, 5:11] = 255
    first, nobody = _plain(tmp_path, void, block(255))
    np.testing.assert_array_equal(first.alpha, np.where(void == 1, 255, 0))
    np.testing.assert_array_equal(first.valid, void != 255)
    assert not nobody.alpha.any()  # 255 around a thing
    np.testing.assert_array_equal(nobody.valid, block(255) != 255)


def test_a_mask_of_few_values_in_a_folder_of_soft_ones(tmp_path: Path) -> None:
    np.testing.assert_array_equal(_plain(tmp_path, _soft(), block(90))[1].alpha, block(90))


@pytest.mark.parametrize("values", [(2,), (15,), (128, 255), (1, 2), tuple(range(1, 20))])
def test_masks_that_nobody_explained(tmp_path: Path, values: tuple[int, ...]) -> None:
    mask = block(0)
    mask.ravel()[: len(values)] = values
    shown = ", ".join(str(x) for x in (0, *values)[:16])
    with pytest.raises(
        ExportError, match=rf"0\.png: values {shown}.*; give 0 and 1, 0 and 255, .* soft alpha"
    ):
        _plain(tmp_path, mask)


def test_masks_that_are_not_given_out_are_not_needed_to_train(tmp_path: Path) -> None:
    write(tmp_path / "images/test/a.jpg")
    write(tmp_path / "images/train/b.jpg")
    write(tmp_path / "masks/train/b.png", block())
    assert [x.name for x in detect(tmp_path).people("train")] == ["train/b.jpg"]


def test_masks_with_another_suffix(tmp_path: Path) -> None:
    write(tmp_path / "train/images/a.webp")
    write(tmp_path / "train/images/._a.webp")
    write(tmp_path / "train/masks/a.bmp", block())
    (item,) = detect(tmp_path).people("train")
    np.testing.assert_array_equal(item.alpha, block())


def test_a_plain_folder_without_splits(tmp_path: Path) -> None:
    for index in range(40):
        write(tmp_path / "images" / f"{index}.png")
        write(tmp_path / "masks" / f"{index}.png", block())
    train, test = ([x.name for x in detect(tmp_path).chosen(split)] for split in ("train", "test"))
    assert sorted(train + test) == sorted(f"{index}.png" for index in range(40))
    assert 2 <= len(test) <= 12
    assert test == [x.name for x in detect(tmp_path).chosen("test")]


def test_the_indices_of_a_palette_are_the_values(tmp_path: Path) -> None:
    write(tmp_path / "train/images/a.jpg")
    (tmp_path / "train/masks").mkdir()
    (tmp_path / "train/masks/a.png").write_bytes(palette_png(block(1), bytes([0, 0, 0, 128, 0, 0])))
    np.testing.assert_array_equal(next(detect(tmp_path).people("train")).alpha, block())


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    reader = _eg1800(tmp_path, block())
    (tmp_path / "Images/1.png").write_bytes(b"noise")
    people = reader.people("train")
    assert isinstance(people, types.GeneratorType)
    with pytest.raises(ExportError, match=r"1\.png: not a picture"):
        next(people)


@pytest.mark.parametrize("part", ["Images", "Labels"])
def test_missing_files_are_found_at_the_start(tmp_path: Path, part: str) -> None:
    reader = _eg1800(tmp_path, block())
    (tmp_path / part / "1.png").write_bytes(b"")
    with pytest.raises(ExportError, match=rf"{part}/1\.png: empty"):
        LazyPeople([reader], "train")
    (tmp_path / part / "1.png").unlink()
    with pytest.raises(ExportError, match=rf"{part}/1\.png: missing"):
        LazyPeople([reader], "train")


def test_lists_in_other_encodings(tmp_path: Path) -> None:
    reader = _eg1800(tmp_path, block())
    (tmp_path / "eg1800_train.txt").write_text("1.png\n", encoding="utf-8-sig")
    assert [x.name for x in reader.chosen("train")] == ["1.png"]
    (tmp_path / "eg1800_train.txt").write_bytes(b"\xe9.png\n")
    with pytest.raises(ExportError, match=r"eg1800_train\.txt: not UTF-8"):
        reader.chosen("train")


def test_sets_without_anything_to_train_on(tmp_path: Path) -> None:
    reader = _eg1800(tmp_path, block())
    with pytest.raises(
        ExportError, match=r"no pictures in the val split under licence any \(found 1 in train\)"
    ):
        LazyPeople([reader], "val")
    with pytest.raises(ExportError, match="no pictures in the train split under licence clear"):
        LazyPeople([reader], "train", "clear")
    (tmp_path / "eg1800_train.txt").write_text("")
    with pytest.raises(ExportError, match="found none at all"):
        LazyFaces([reader], "train")
