"""Face effects and face masks as users call them, with an engine that knows drawn faces by their
colours.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.catalogues import write_catalogue, write_face_catalogue
from tests.cli.test_cli import refused, vcam
from tests.face.drawing import Face, checked, draw
from vcam.catalogue import DEFAULT_FACE_ENGINE, find_face_engine
from vcam.errors import UsageError
from vcam.frame import FaceClass
from vcam.masks import CLASS_NAMES

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue with a person engine and a face engine."""
    folder = tmp_path_factory.mktemp("engines")
    write_catalogue(folder)
    return write_face_catalogue(folder)


@pytest.fixture
def photo(tmp_path: Path) -> tuple[Path, np.ndarray]:
    """A file with two drawn faces, and its labels."""
    picture, labels = draw(Face(130, 120, 160), Face(330, 120, 150), size=(460, 240))
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return path, labels


def _read(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return np.asarray(picture)


def test_a_photograph_gets_whiter_teeth_and_nothing_else(
    tmp_path: Path, engines: Path, photo: tuple[Path, np.ndarray]
) -> None:
    path, labels = photo
    common = (
        "run",
        "-s",
        path,
        "--engines",
        engines,
        "--face-engine",
        "paint_fp32",
        "--engine",
        "green_fp32",
    )
    assert vcam(*common, "-o", tmp_path / "plain.png", "-e", "none").returncode == 0
    done = vcam(*common, "-o", tmp_path / "white.png", "-e", "none", "-e", "teeth:1", "--json")
    assert done.returncode == 0, done.stderr
    assert "parse" in json.loads(done.stdout)["stages"]
    before, after = (_read(tmp_path / name).astype(int) for name in ("plain.png", "white.png"))
    for half in (np.s_[:, :230], np.s_[:, 230:]):
        teeth = checked(labels, (FaceClass.TEETH,), inner=1)[half]
        assert (after - before)[half][teeth].mean(axis=0)[0] > 15  # blue
    far = ~checked(
        labels, (FaceClass.TEETH, FaceClass.LEFT_EYE, FaceClass.RIGHT_EYE), outer=8
    )  # mixed colours
    assert not (after - before)[far].any()


def test_a_video_gets_the_effect_in_every_frame(
    tmp_path: Path, engines: Path, photo: tuple[Path, np.ndarray]
) -> None:
    common = (
        "--engines",
        engines,
        "--face-engine",
        "paint_fp32",
        "--engine",
        "green_fp32",
        "--backend",
        "onnxruntime",
    )
    done = vcam(
        "run",
        "-s",
        "demo",
        "-o",
        tmp_path / "out.mp4",
        "--duration",
        0.2,
        "-e",
        "skin",
        "--size",
        "320x180",
        *common,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.mp4").exists()


def test_labels_colours_and_heatmaps(
    tmp_path: Path, engines: Path, photo: tuple[Path, np.ndarray]
) -> None:
    path, labels = photo
    common = ("mask", path, "--engines", engines, "--engine", "paint_fp32", "--out")
    for kind in (("labels", "--labels"), ("palette", "--palette"), ("lips", "--heatmap", "lips")):
        done = vcam(*common, tmp_path / kind[0], *kind[1:])
        assert (done.returncode, done.stderr) == (0, "")
    found, colours, lips = (
        _read(tmp_path / kind / "photo.png") for kind in ("labels", "palette", "lips")
    )
    assert found.shape == labels.shape
    assert found.max() <= 8
    for which in (FaceClass.BACKGROUND, FaceClass.SKIN, FaceClass.TEETH):
        assert (found[checked(labels, (which,), inner=2)] == which).mean() > 0.9
    assert colours.shape == (*labels.shape, 3)
    assert len(np.unique(colours.reshape(-1, 3), axis=0)) == len(np.unique(found))
    sure = checked(labels, (FaceClass.LIPS,), inner=2)
    assert lips[sure].mean() > 150
    assert lips[checked(labels, (FaceClass.BACKGROUND,), inner=12)].max() == 0
    assert (tmp_path / "palette" / "legend.png").exists()
    more = {
        "face": ("--heatmap", "face"),
        "cut": ("--heatmap", "lips", "--threshold", 0.5),
        "easyportrait": ("--palette", "easyportrait"),
        "laid": ("--palette", "--overlay", 1),
    }
    for name, arguments in more.items():
        done = vcam(*common, tmp_path / name, *arguments)
        assert (done.returncode, done.stderr) == (0, "")
    face, cut, other, laid = (_read(tmp_path / name / "photo.png") for name in more)
    parts = tuple(FaceClass)[FaceClass.SKIN :]
    assert face[checked(labels, parts, inner=4)].mean() > 200
    assert np.array_equal(cut, np.where(lips >= 128, 255, 0))
    skin = checked(labels, (FaceClass.SKIN,), inner=2)
    assert (other[skin] == (255, 221, 160)).all(axis=1).mean() > 0.9  # as BGR
    assert (laid[found > 0] == colours[found > 0]).all()


def test_a_picture_of_odd_size_gets_labels_of_its_size(
    tmp_path: Path, engines: Path, photo: tuple[Path, np.ndarray]
) -> None:
    odd = tmp_path / "odd.png"
    cv2.imwrite(str(odd), _read(photo[0])[:-1, :-1])
    done = vcam(
        "mask",
        odd,
        "--engines",
        engines,
        "--engine",
        "paint_fp32",
        "--labels",
        "--out",
        tmp_path / "m",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert _read(tmp_path / "m" / "odd.png").shape == (239, 459)


def test_no_mask_replaces_its_own_picture(
    tmp_path: Path, engines: Path, photo: tuple[Path, np.ndarray]
) -> None:
    before = photo[0].read_bytes()
    done = vcam("mask", photo[0], "--engines", engines, "--engine", "green_fp32", "--out", tmp_path)
    refused(done, "photo.png", "its mask would replace it", "--out")
    assert photo[0].read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--engine", "green_fp32", "--labels"), ("green_fp32", "labels", "face engine")),
        (("--engine", "paint_fp32", "--heatmap", "nose"), ("'nose'", "lips", "left-eye")),
        (("--engine", "paint_fp32", "--threshold", "0.5"), ("--threshold", "paint_fp32")),
    ],
)
def test_masks_that_an_engine_does_not_have_are_one_line(
    tmp_path: Path,
    engines: Path,
    photo: tuple[Path, np.ndarray],
    arguments: tuple[str, ...],
    words: tuple[str, ...],
) -> None:
    refused(
        vcam("mask", photo[0], "--engines", engines, "--out", tmp_path / "m", *arguments), *words
    )


def test_another_face_engine_takes_the_place_of_a_missing_default_only(engines: Path) -> None:
    assert find_face_engine(DEFAULT_FACE_ENGINE, [engines]).name == "paint_fp32"
    with pytest.raises(UsageError, match=r"unknown engine 'other_fp32'; known: paint_fp32"):
        find_face_engine("other_fp32", [engines])
    with pytest.raises(
        UsageError, match="green_fp32 is a person engine, and a face engine is wanted"
    ):
        find_face_engine("green_fp32", [engines])


def test_without_any_face_engine_the_message_says_how_to_add_one(tmp_path: Path) -> None:
    folder = write_catalogue(tmp_path)
    with pytest.raises(
        UsageError, match="no face engine at all; name a folder that has one with --engines"
    ):
        find_face_engine(DEFAULT_FACE_ENGINE, [folder])


def test_class_names_are_the_classes_in_order() -> None:
    assert CLASS_NAMES[FaceClass.LEFT_BROW] == "left-brow"
    assert len(CLASS_NAMES) == len(FaceClass) == 9
