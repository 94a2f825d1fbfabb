"""The examples run as they stand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import vcam
from tests.helpers import STRICT
from vcam.sources.image import read_image

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name: str, *arguments: object, typed: str = "") -> str:
    command = [sys.executable, *STRICT, str(EXAMPLES / name), *map(str, arguments)]
    return subprocess.run(
        command, input=typed, capture_output=True, text=True, check=True, timeout=100
    ).stdout


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    portrait = read_image(Path(vcam.__file__).parent / "sources" / "astronaut.jpg")
    path = tmp_path / "in" / "photo.png"
    path.parent.mkdir()
    cv2.imwrite(str(path), cv2.resize(portrait, (256, 256))[..., ::-1])
    return path


def test_every_example_has_a_test() -> None:
    tested = Path(__file__).read_text()
    for path in EXAMPLES.glob("*.py"):
        assert f'run("{path.name}"' in tested


def test_a_picture(photo: Path, tmp_path: Path) -> None:
    run("picture.py", photo, tmp_path / "better.png")
    before, after = read_image(photo), read_image(tmp_path / "better.png")
    assert after.shape == before.shape
    assert (after != before).any()


def test_a_folder(photo: Path, tmp_path: Path) -> None:
    (photo.parent / "notes.txt").write_text("no picture")
    assert "notes.txt" in run("folder.py", photo.parent, tmp_path / "masks")
    mask = cv2.imread(str(tmp_path / "masks" / "photo.png"), cv2.IMREAD_GRAYSCALE)
    assert mask is not None
    assert (mask.shape, mask[170, 120]) == ((256, 256), 255)


def test_a_camera_loop() -> None:
    # The choice of an engine may take the first two seconds.
    assert run("webcam.py", "pattern", "null", "6").count("frames per second") >= 1


def test_an_effect_of_ones_own(tmp_path: Path) -> None:
    run("own_effect.py", "demo", tmp_path / "out.mp4", "0.5")
    assert vcam.open_pipeline(str(tmp_path / "out.mp4"), "null", ["none"]).run().frames == 15


def test_changes_while_it_runs() -> None:
    said = run("live.py", "pattern", "page", typed="3\np\nnonsense\np\n").splitlines()
    assert said.count("changed") == 3


def test_numpy_in_and_out() -> None:
    lines = run("numpy_in_and_out.py").splitlines()
    assert len(lines) == 20
    colours = np.array([line.split(": ")[1].split() for line in lines], int)
    assert np.abs(colours - (0x20, 0x40, 0x60)).max() < 40
