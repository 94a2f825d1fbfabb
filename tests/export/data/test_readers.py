from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from export.data.image import Image
from export.data.readers import detect
from export.data.readers.celeba import CelebAMaskHq
from export.data.readers.easyportrait import EasyPortrait
from export.data.readers.manifest import ManifestSet
from export.errors import ExportError
from tests.data import SHARED, why_absent
from tests.export.conftest import make_faces
from tests.export.tiny_sets import SIZE, block, write


def _classes() -> Image:
    return (np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) % 9).astype(np.uint8)


def _easyportrait(folder: Path, kind: str = "annotations") -> None:
    for split, name in (("train", "a"), ("train", "c"), ("val", "d"), ("test", "b")):
        write(folder / "images" / split / f"{name}.jpg")
        label = _classes() if kind == "annotations" else _classes() % 8
        write(folder / kind / split / f"{name}.png", label)


def test_easyportrait_1(tmp_path: Path) -> None:
    _easyportrait(tmp_path)
    (tmp_path / "annotations" / "meta.csv").write_text(
        "\tattachment_id\tuser_id\ttrain\ttest\tvalid\n"
        "0\ta\tu1\tTrue\tFalse\tFalse\n1\tb\tu2\tFalse\tTrue\tFalse\n"
        "2\tc\tu2\tTrue\tFalse\tFalse\n3\td\tu3\tFalse\tFalse\tTrue\n"
    )
    reader = detect(tmp_path)
    assert isinstance(reader, EasyPortrait)
    assert [x.name for x in reader.faces("train")] == [
        "train/a.jpg"
    ]  # c shows a person who is in the test split
    (face,) = reader.faces("test")
    np.testing.assert_array_equal(face.label, _classes())
    (person,) = reader.people("test")
    np.testing.assert_array_equal(person.alpha > 0, _classes() > 0)
    assert [entry.identity for entry in reader.chosen("val")] == ["u3"]


def test_easyportrait_without_folders_for_splits(tmp_path: Path) -> None:
    for name in "ab":
        write(tmp_path / "images" / f"{name}.jpg")
        write(tmp_path / "annotations" / f"{name}.png", _classes())
    rows = [
        {"attachment_id": x, "user_hash": x, "split": y} for x, y in (("a", "val"), ("b", "test"))
    ]
    (tmp_path / "meta.json").write_text(json.dumps(rows))
    assert [x.name for x in detect(tmp_path).faces("val")] == ["a.jpg"]


def test_easyportrait_2(tmp_path: Path) -> None:
    _easyportrait(tmp_path, "annotations_fp")
    reader = detect(tmp_path)
    (face,) = reader.faces("test")
    # background, skin, left brow, ... teeth of version 2 in the numbers of version 1
    np.testing.assert_array_equal(face.label, np.array([0, 2, 3, 4, 5, 6, 7, 8])[_classes() % 8])
    np.testing.assert_array_equal(
        face.valid, face.label > 0
    )  # where a person or a room is, it does not say
    with pytest.raises(ExportError, match="annotations_ps/"):
        next(reader.people("test"))


def test_easyportrait_2_masks(tmp_path: Path) -> None:
    _easyportrait(tmp_path, "annotations_ps")
    (person,) = detect(tmp_path).people("test")
    np.testing.assert_array_equal(person.alpha > 0, _classes() % 8 > 0)
    with pytest.raises(ExportError, match="no labels of a face"):
        next(detect(tmp_path).faces("test"))


def test_easyportrait_2_with_both_kinds_of_labels(tmp_path: Path) -> None:
    _easyportrait(tmp_path, "annotations_fp")
    _easyportrait(tmp_path, "annotations_ps")
    for split, name in (("train", "a"), ("train", "c"), ("val", "d"), ("test", "b")):
        write(tmp_path / "annotations_ps" / split / f"{name}.png", block(1))
    reader = detect(tmp_path)
    np.testing.assert_array_equal(next(reader.people("train")).alpha, block())
    assert next(reader.faces("train")).label.max() == 8
    (tmp_path / "annotations_ps/train/a.png").unlink()
    assert len(list(reader.faces("train"))) == 2  # what they do not need may be missing
    with pytest.raises(ExportError, match=r"annotations_ps/train/a\.png: missing"):
        reader.people("train")


def test_easyportrait_calls_val_valid_too(tmp_path: Path) -> None:
    write(tmp_path / "images/valid/a.jpg")
    write(tmp_path / "annotations/valid/a.png", _classes())
    assert [x.name for x in detect(tmp_path).faces("val")] == ["valid/a.jpg"]


def test_easyportrait_with_other_columns(tmp_path: Path) -> None:
    _easyportrait(tmp_path)
    (tmp_path / "meta.csv").write_text("picture,owner\na,u\n")
    with pytest.raises(ExportError, match=r"meta\.csv: no such columns"):
        detect(tmp_path).chosen("train")


def _celeba(folder: Path, number: int, parts: dict[str, tuple[int, int, int, int]]) -> None:
    large = np.zeros((2 * SIZE[0], 2 * SIZE[1], 3), np.uint8)
    (folder / "CelebA-HQ-img").mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / "CelebA-HQ-img" / f"{number}.jpg"), large)
    for part, (top, bottom, left, right) in parts.items():
        plane = np.zeros(SIZE, np.uint8)
        plane[top:bottom, left:right] = 255
        write(
            folder / "CelebAMask-HQ-mask-anno" / str(number // 2000) / f"{number:05}_{part}.png",
            plane,
        )


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
    assert face.image.shape == (*SIZE, 3)
    assert [
        int(face.label[x]) for x in ((4, 4), (4, 10), (2, 10), (5, 2), (8, 6), (7, 3), (0, 0))
    ] == [
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
    (tmp_path / "CelebA-HQ-img/._2001.jpg").write_bytes(b"Mac")
    assert len(list(reader.faces("test"))) == 1
    (face,) = detect(tmp_path, glasses_out=False).faces("test")
    assert face.label[5, 2] == 2


def test_celebamask_hq_without_skin(tmp_path: Path) -> None:
    _celeba(tmp_path, 5, {"hair": _FACE["hair"]})
    reader = detect(tmp_path)
    (person,) = reader.people(next(iter(reader.entries())).split)
    assert (person.alpha > 0).sum() == 2 * 16


def test_celebamask_hq_without_masks(tmp_path: Path) -> None:
    _celeba(tmp_path, 5, {})
    (tmp_path / "CelebAMask-HQ-mask-anno").mkdir()
    reader = detect(tmp_path)
    split = next(iter(reader.entries())).split
    with pytest.raises(ExportError, match=r"00005_skin\.png: missing"):
        reader.faces(split)
    with pytest.raises(ExportError, match="no masks of 5"):
        reader.face(next(iter(reader.entries())))


def test_sets_with_a_manifest(data: Path) -> None:
    reader = detect(data / "person/ccp")
    assert isinstance(reader, ManifestSet)
    assert [x.name for x in reader.people("test")] == ["images/2.png", "images/3.png"]
    assert next(reader.people("train")).alpha.max() == 255
    rooms = detect(data / "backgrounds")
    assert not next(rooms.people("train", "clear")).alpha.any()


def test_the_shared_sets() -> None:
    if not (SHARED / "data").is_dir():
        pytest.skip(why_absent(SHARED / "data"))
    wild = detect(SHARED / "data/person/wild")
    assert len(wild.chosen("train", "clear")) < len(wild.chosen("train")) == 940
    ignored = next(x for x in wild.people("train") if not x.valid.all())
    assert not ignored.alpha[ignored.valid == 0].any()
    faces = detect(SHARED / "data/face/real")
    assert next(faces.faces("test")).label.max() <= 8
    alpha = next(faces.people("test")).alpha
    assert ((alpha > 10) & (alpha < 245)).any()


def test_a_missing_alpha_of_a_face(tmp_path: Path) -> None:
    make_faces(tmp_path / "face/real")
    (tmp_path / "face/real/alpha/0.png").unlink()
    reader = detect(tmp_path / "face/real")
    assert len(list(reader.faces("train"))) == 2
    with pytest.raises(ExportError, match=r"alpha/0\.png: missing"):
        reader.people("train")


def test_tables_in_other_encodings(tmp_path: Path) -> None:
    _easyportrait(tmp_path)
    table = tmp_path / "annotations/meta.csv"
    table.write_text("attachment_id,user_id\na,u1\n", encoding="utf-8-sig")
    assert detect(tmp_path).chosen("train")[0].identity == "u1"
    table.write_bytes(b"attachment_id,user_id\na,\xe9\n")
    with pytest.raises(ExportError, match=r"meta\.csv: not UTF-8"):
        detect(tmp_path).chosen("train")


def test_unknown_layouts(tmp_path: Path) -> None:
    (tmp_path / ".DS_Store").write_bytes(b"Mac")
    with pytest.raises(ExportError, match="found nothing"):
        detect(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "list.txt").write_text("")
    with pytest.raises(
        ExportError, match=r"found list\.txt, photos/\)\. Known layouts: one set: .*EG1800"
    ):
        detect(tmp_path)
    with pytest.raises(ExportError, match="no such folder"):
        detect(tmp_path / "none")


def test_unknown_splits_and_licences(data: Path) -> None:
    with pytest.raises(ExportError, match="split 'dev': give one of train, val, test"):
        detect(data / "person/ccp").chosen("dev")
    with pytest.raises(ExportError, match="--licence 'free': give one of any, clear"):
        detect(data / "person/ccp").chosen("train", "free")
