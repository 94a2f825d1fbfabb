from __future__ import annotations

import json
import types
from pathlib import Path

import cv2
import numpy as np
import pytest

from export.data.augment import Image
from export.data.readers import detect
from export.data.readers.celeba import CelebAMaskHq
from export.data.readers.easyportrait import EasyPortrait
from export.data.readers.manifest import ManifestSet
from export.data.readers.portraits import Eg1800, PlainFolder, SupervisePortrait
from export.errors import ExportError
from tests.export.conftest import SHARED

_SIZE = (12, 16)


def _write(path: Path, plane: Image | None = None, level: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    blue = np.zeros((*_SIZE, 3), np.uint8) + np.array([200, 0, level], np.uint8)
    cv2.imwrite(str(path), blue if plane is None else plane)


def _mask(value: int = 255) -> Image:
    plane = np.zeros(_SIZE, np.uint8)
    plane[4:, 5:11] = value
    return plane


def _classes() -> Image:
    return (np.arange(_SIZE[0] * _SIZE[1]).reshape(_SIZE) % 9).astype(np.uint8)


def test_eg1800(tmp_path: Path) -> None:
    marked = _mask(1)
    marked[0, 0] = 2  # of its other marks none is a person
    for name, mask in (("00001.png", marked), ("00002.png", _mask(255)), ("00003.png", _mask(1))):
        _write(tmp_path / "Images" / name)
        _write(tmp_path / "Labels" / name, mask)
    (tmp_path / "eg1800_train.txt").write_text("00001.png\n00002.png\n")
    (tmp_path / "eg1800_test.txt").write_text("00003.png\n")
    reader = detect(tmp_path)
    assert isinstance(reader, Eg1800)
    train = list(reader.people("train"))
    assert [item.name for item in train] == ["00001.png", "00002.png"]
    for item in (*train, *reader.people("test")):
        np.testing.assert_array_equal(item.alpha, _mask())
        assert item.valid.all()
    assert train[0].image[0, 0].tolist() == [0, 0, 200]  # red, green, blue
    assert not list(reader.people("val"))
    with pytest.raises(ExportError, match="no labels of a face"):
        next(reader.faces("train"))


@pytest.mark.parametrize("inside", [True, False])
def test_supervise_portrait(tmp_path: Path, inside: bool) -> None:
    part = "SuperviselyPerson_ds6"
    root = tmp_path / "Supervisely_face" if inside else tmp_path
    for name in ("a.png", "b.jpg"):
        _write(root / part / "img" / name)
        cv2.imwrite(str(root / part / "ann.png"), _mask(7))
        (root / part / "ann").mkdir(exist_ok=True)
        (root / part / "ann" / name).write_bytes((root / part / "ann.png").read_bytes())
    for split, name in (("train", "a.png"), ("test", "b.jpg")):
        line = f"Supervisely_face/{part}/img/{name}\n"
        (tmp_path / f"supervisely_face_{split}_easy.txt").write_text(line)
    reader = detect(tmp_path)
    assert isinstance(reader, SupervisePortrait)
    (item,) = reader.people("test")
    assert item.name.endswith("b.jpg")
    np.testing.assert_array_equal(item.alpha, _mask())
    assert len(list(reader.people("train"))) == 1


def _easyportrait(folder: Path, kind: str = "annotations") -> None:
    for split, name in (("train", "a"), ("train", "c"), ("val", "d"), ("test", "b")):
        _write(folder / "images" / split / f"{name}.jpg")
        label = _classes() if kind == "annotations" else _classes() % 8
        _write(folder / kind / split / f"{name}.png", label)


def test_easyportrait_1(tmp_path: Path) -> None:
    _easyportrait(tmp_path)
    (tmp_path / "annotations" / "meta.csv").write_text(
        "\tattachment_id\tuser_id\ttrain\ttest\tvalid\n"
        "0\ta\tu1\tTrue\tFalse\tFalse\n1\tb\tu2\tFalse\tTrue\tFalse\n"
        "2\tc\tu2\tTrue\tFalse\tFalse\n3\td\tu3\tFalse\tFalse\tTrue\n"
    )
    reader = detect(tmp_path)
    assert isinstance(reader, EasyPortrait)
    assert [x.name for x in reader.faces("train")] == ["train/a.jpg"]  # c shows a person who is in the test split
    (face,) = reader.faces("test")
    np.testing.assert_array_equal(face.label, _classes())
    (person,) = reader.people("test")
    np.testing.assert_array_equal(person.alpha > 0, _classes() > 0)
    assert [entry.identity for entry in reader.chosen("val")] == ["u3"]


def test_easyportrait_without_folders_for_splits(tmp_path: Path) -> None:
    for name in "ab":
        _write(tmp_path / "images" / f"{name}.jpg")
        _write(tmp_path / "annotations" / f"{name}.png", _classes())
    rows = [{"attachment_id": x, "user_hash": x, "split": y} for x, y in (("a", "val"), ("b", "test"))]
    (tmp_path / "meta.json").write_text(json.dumps(rows))
    assert [x.name for x in detect(tmp_path).faces("val")] == ["a.jpg"]


def test_easyportrait_2(tmp_path: Path) -> None:
    _easyportrait(tmp_path, "annotations_fp")
    reader = detect(tmp_path)
    (face,) = reader.faces("test")
    # background, skin, left brow, ... teeth of version 2 in the numbers of version 1
    np.testing.assert_array_equal(face.label, np.array([0, 2, 3, 4, 5, 6, 7, 8])[_classes() % 8])
    np.testing.assert_array_equal(face.valid, face.label > 0)  # where a person or a room is, it does not say
    with pytest.raises(ExportError, match="annotations_ps/"):
        next(reader.people("test"))


def test_easyportrait_2_masks(tmp_path: Path) -> None:
    _easyportrait(tmp_path, "annotations_ps")
    (person,) = detect(tmp_path).people("test")
    np.testing.assert_array_equal(person.alpha > 0, _classes() % 8 > 0)
    with pytest.raises(ExportError, match="no labels of a face"):
        next(detect(tmp_path).faces("test"))


def test_easyportrait_with_other_columns(tmp_path: Path) -> None:
    _easyportrait(tmp_path)
    (tmp_path / "meta.csv").write_text("picture,owner\na,u\n")
    with pytest.raises(ExportError, match=r"meta\.csv: no such columns"):
        detect(tmp_path).chosen("train")


def _celeba(folder: Path, number: int, parts: dict[str, tuple[int, int, int, int]]) -> None:
    large = np.zeros((2 * _SIZE[0], 2 * _SIZE[1], 3), np.uint8)
    (folder / "CelebA-HQ-img").mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / "CelebA-HQ-img" / f"{number}.jpg"), large)
    for part, (top, bottom, left, right) in parts.items():
        plane = np.zeros(_SIZE, np.uint8)
        plane[top:bottom, left:right] = 255
        _write(folder / "CelebAMask-HQ-mask-anno" / str(number // 2000) / f"{number:05}_{part}.png", plane)


_FACE = {
    "skin": (2, 12, 2, 14),
    "eye_g": (4, 6, 2, 14),
    "l_eye": (4, 6, 4, 6),
    "r_eye": (4, 6, 10, 12),
    "r_brow": (2, 3, 10, 12),
    "mouth": (8, 10, 6, 10),
    "u_lip": (8, 9, 6, 10),
    "hair": (0, 2, 0, 16),
}


@pytest.mark.parametrize("mirrored", [False, True])
def test_celebamask_hq(tmp_path: Path, mirrored: bool) -> None:
    names = {"l_eye": "r_eye", "r_eye": "l_eye", "r_brow": "l_brow"} if mirrored else {}
    _celeba(tmp_path, 2001, {names.get(part, part): box for part, box in _FACE.items()})
    (tmp_path / "CelebA-HQ-to-CelebA-mapping.txt").write_text(
        "idx   orig_idx   orig_file\n2001  182637  182638.jpg\n7  162770  162771.jpg\n"
    )
    reader = detect(tmp_path)
    assert isinstance(reader, CelebAMaskHq)
    (face,) = reader.faces("test")
    assert face.image.shape == (*_SIZE, 3)
    assert [int(face.label[x]) for x in ((4, 4), (4, 10), (2, 10), (5, 2), (8, 6), (7, 3), (0, 0))] == [
        5,  # left is the left of the picture, whatever the file is called
        6,
        4,  # the only brow, right of the middle
        1,  # glasses, but not over the eyes
        7,
        2,
        1,
    ]
    assert not face.valid[9, 6:10].any()  # open mouth, with or without teeth
    assert face.valid.sum() == face.valid.size - 4
    (person,) = reader.people("test")
    assert (person.alpha > 0).sum() == 10 * 12 + 2 * 16
    assert not list(reader.faces("test", "clear"))
    (face,) = CelebAMaskHq(tmp_path, glasses_out=False).faces("test")
    assert face.label[5, 2] == 2


def test_celebamask_hq_without_masks(tmp_path: Path) -> None:
    _celeba(tmp_path, 5, {})
    (tmp_path / "CelebAMask-HQ-mask-anno").mkdir()
    reader = detect(tmp_path)
    split = next(iter(reader.entries())).split
    with pytest.raises(ExportError, match="no masks of 5"):
        next(reader.faces(split))


def test_a_plain_folder(tmp_path: Path) -> None:
    for split in ("train", "val"):
        _write(tmp_path / split / "images" / "x.jpg")
        _write(tmp_path / split / "masks" / "x.png", _mask(130 if split == "val" else 1))
    reader = detect(tmp_path)
    assert isinstance(reader, PlainFolder)
    assert next(reader.people("train")).alpha.max() == 255
    assert next(reader.people("val")).alpha.max() == 130
    assert not list(reader.people("train", "clear"))  # nobody said whose pictures they are


def test_a_plain_folder_without_splits(tmp_path: Path) -> None:
    for index in range(40):
        _write(tmp_path / "images" / f"{index}.png")
        _write(tmp_path / "masks" / f"{index}.png", _mask())
    train, test = ([x.name for x in detect(tmp_path).chosen(split)] for split in ("train", "test"))
    assert sorted(train + test) == sorted(f"{index}.png" for index in range(40))
    assert 2 <= len(test) <= 12
    assert test == [x.name for x in detect(tmp_path).chosen("test")]


def test_sets_with_a_manifest(data: Path) -> None:
    reader = detect(data / "person/ccp")
    assert isinstance(reader, ManifestSet)
    assert [x.name for x in reader.people("test")] == ["images/2.png", "images/3.png"]
    assert next(reader.people("train")).alpha.max() == 255
    rooms = detect(data / "backgrounds")
    assert not next(rooms.people("train", "clear")).alpha.any()


def test_the_shared_sets() -> None:
    if not (SHARED / "data").is_dir():
        pytest.skip("no shared data")
    wild = detect(SHARED / "data/person/wild")
    assert len(wild.chosen("train", "clear")) < len(wild.chosen("train")) == 940
    ignored = next(x for x in wild.people("train") if not x.valid.all())
    assert not ignored.alpha[ignored.valid == 0].any()
    faces = detect(SHARED / "data/face/real")
    assert next(faces.faces("test")).label.max() <= 8
    alpha = next(faces.people("test")).alpha
    assert ((alpha > 10) & (alpha < 245)).any()


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "Images").mkdir()
    (tmp_path / "Labels").mkdir()
    (tmp_path / "eg1800_train.txt").write_text("1.png\n")
    (tmp_path / "eg1800_test.txt").write_text("")
    people = detect(tmp_path).people("train")
    assert isinstance(people, types.GeneratorType)
    with pytest.raises(ExportError, match=r"1\.png: missing or not a picture"):
        next(people)


def test_unknown_layouts(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="found nothing"):
        detect(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "list.txt").write_text("")
    with pytest.raises(ExportError, match=r"found list\.txt, photos/\)\. Known layouts: one set: .*EG1800"):
        detect(tmp_path)
    with pytest.raises(ExportError, match="no such folder"):
        detect(tmp_path / "none")


def test_unknown_splits_and_licences(data: Path) -> None:
    with pytest.raises(ExportError, match="split 'dev': give one of train, val, test"):
        detect(data / "person/ccp").chosen("dev")
    with pytest.raises(ExportError, match="--licence 'free': give one of any, clear"):
        detect(data / "person/ccp").chosen("train", "free")
