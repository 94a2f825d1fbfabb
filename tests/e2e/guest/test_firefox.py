"""Firefox on a page that calls getUserMedia sees the virtual camera."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.guest.browser import Browser
from tests.e2e.guest.footage import SIZE, shows_quadrants, vcam_run, write_quadrants, writing

pytestmark = pytest.mark.timeout(500)


@pytest.fixture(scope="module")
def page() -> Iterator[Browser]:
    with Browser("firefox") as browser:
        assert "Firefox" in browser.wait_until_ready()
        yield browser


def test_a_run_is_seen_and_again_after_another_writer(page: Browser, tmp_path: Path) -> None:
    with writing(SIZE):
        page.wait_for_camera("vcam")
        page.open("vcam", SIZE)
        page.picture_that(shows_quadrants)
        page.close()
    with vcam_run(write_quadrants(tmp_path / "quadrants.avi")):
        page.wait_for_camera("vcam")
        settings = page.open("vcam", SIZE)
        assert (settings["label"], settings["width"], settings["height"]) == ("vcam", 640, 360)
        first = page.picture_that(shows_quadrants)
        page.picture_that(lambda picture: not np.array_equal(picture, first))
        page.close()
