"""Chromium on a page that calls getUserMedia sees `vcam run` as a camera."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.e2e.guest.browser import Browser
from tests.e2e.guest.footage import (
    FPS,
    SIZE,
    room_and_face,
    shows_quadrants,
    vcam_run,
    write_person,
    write_quadrants,
    writing,
)
from tests.e2e.guest.test_v4l2_sink import EXCLUSIVE
from vcam.frame import Size

pytestmark = pytest.mark.timeout(500)
OTHER_SIZE: Size = (320, 180)


@pytest.fixture(scope="module")
def page() -> Iterator[Browser]:
    with Browser("chromium") as browser:
        assert "Chrome" in browser.wait_until_ready()
        yield browser


def size_of(picture: NDArray[np.uint8]) -> Size:
    return picture.shape[1], picture.shape[0]


def test_the_person_is_seen_and_the_room_never(page: Browser, tmp_path: Path) -> None:
    with vcam_run(write_person(tmp_path / "person.avi")):
        page.wait_for_camera("vcam")
        seen: list[NDArray[np.uint8]] = []

        def shows_a_person(picture: NDArray[np.uint8]) -> bool:
            seen.append(picture)
            return bool(picture.mean() > 60)  # the card is dark

        settings = page.open("vcam", SIZE)
        assert settings == {
            "label": "vcam",
            "width": 640,
            "height": 360,
            "frameRate": FPS,
            "state": "live",
        }
        first = page.picture_that(shows_a_person)
        page.picture_that(
            lambda picture: shows_a_person(picture) and not np.array_equal(picture, first)
        )  # it moves
        reader = ["v4l2-ctl", "-d", EXCLUSIVE, "--stream-mmap=2", "--stream-count=5"]
        for _ in range(2):  # another reader comes and goes
            subprocess.run(reader, check=True, capture_output=True, timeout=60)
            page.picture()
            page.picture()
        page.resize(OTHER_SIZE)
        small = page.picture_that(lambda picture: size_of(picture) == OTHER_SIZE)
        for picture in (*seen, small):
            assert room_and_face(picture[..., 1])[0] < 2
        assert room_and_face(first[..., 1])[1] > 3
        page.close()


def test_a_second_run_has_another_size_and_the_right_colours(page: Browser, tmp_path: Path) -> None:
    with vcam_run(write_quadrants(tmp_path / "quadrants.avi", OTHER_SIZE), size=OTHER_SIZE):
        page.wait_for_camera("vcam")
        assert page.open("vcam")["label"] == "vcam"
        first = page.picture_that(shows_quadrants)
        assert size_of(first) == OTHER_SIZE
        page.picture_that(lambda picture: not np.array_equal(picture, first))
        page.close()


def test_a_page_that_stays_sees_the_next_writer_in_the_size_it_knows(page: Browser) -> None:
    with writing(SIZE):
        page.wait_for_camera("vcam")
        page.open("vcam", SIZE)
        page.picture_that(shows_quadrants)
    with writing(OTHER_SIZE) as size:
        assert size == SIZE
        assert page.settings()["state"] == "live"
        first = page.picture_that(shows_quadrants)
        page.picture_that(lambda picture: not np.array_equal(picture, first))
        page.close()
