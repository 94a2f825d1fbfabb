"""`vcam mask --landmarks` and `--overlay`, with the shipped engines on the demo portrait."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.cli.test_cli import refused, vcam
from vcam.colour import to_rgb
from vcam.face.finder import landmarks
from vcam.face.networks import Fit
from vcam.sources import make_source
from vcam.sources.base import SourceRequest


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The portrait beside itself upside down, with an odd size."""
    with make_source("demo", SourceRequest((320, 180))) as source:
        frame = source.read()
    assert frame is not None
    picture = to_rgb(frame)
    both = np.hstack([picture, np.rot90(picture, 2)])[:-1, :-1]
    path = tmp_path_factory.mktemp("photo") / "two.png"
    cv2.imwrite(str(path), cv2.cvtColor(np.ascontiguousarray(both), cv2.COLOR_RGB2BGR))
    return path


def test_points_of_every_face_and_the_picture_with_their_outlines(
    tmp_path: Path, photo: Path
) -> None:
    done = vcam("mask", photo, "--out", tmp_path, "--landmarks", "--overlay")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads((tmp_path / "two.json").read_text())
    assert (found["width"], found["height"]) == (639, 179)
    upright, turned = sorted(found["faces"], key=lambda face: face["points"][1][0])
    assert len(upright["points"]) == 478
    assert upright["points"][10][1] < upright["points"][152][1]
    assert turned["points"][10][1] > turned["points"][152][1]
    assert min(face["presence"] for face in found["faces"]) > 0.8
    before, after = (cv2.imread(str(p)) for p in (photo, tmp_path / "two.png"))
    assert before is not None
    assert after is not None
    assert before.shape == after.shape
    changed = np.any(before != after, axis=2)
    x, y, _ = np.mean(upright["points"], axis=0)
    assert 0.005 < changed.mean() < 0.2
    assert changed[int(y) - 60 : int(y) + 60, int(x) - 60 : int(x) + 60].sum() > 100


def test_files_that_exist_are_kept_and_kinds_that_do_not_go_together_are_refused(
    tmp_path: Path, photo: Path
) -> None:
    (tmp_path / "two.json").write_text("mine")
    common = ("mask", photo, "--out", tmp_path)
    refused(vcam(*common, "--landmarks"), "two.json")
    assert (tmp_path / "two.json").read_text() == "mine"
    assert not (tmp_path / "two.png").exists()
    refused(vcam(*common, "--landmarks", "--labels"), "--landmarks goes with --overlay alone")
    refused(vcam(*common, "--overlay", "--palette"), "--palette and --overlay")
    engine = ("--engine", "sinet_fp32", "--overlay")
    refused(vcam(*common, *engine), "sinet_fp32 is a person engine, and a landmarks engine")
    mesh = ("--engine", "face_mesh_fp32")
    refused(vcam(*common, *mesh), "face_mesh_fp32", "--landmarks")


def test_a_picture_without_faces_has_none() -> None:
    assert landmarks(np.zeros((4, 6, 3), np.uint8), []) == {"width": 6, "height": 4, "faces": []}
    fit = Fit(np.full((478, 3), 1.2345, np.float32), 0.98765)
    (face,) = landmarks(np.zeros((4, 6, 3), np.uint8), [fit])["faces"]
    assert face["presence"] == 0.988
    assert face["points"][0] == [1.23, 1.23, 1.23]
