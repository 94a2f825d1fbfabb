"""The masks of the shipped engine on known pictures. After training anew: look at them, then
VCAM_WRITE_GOLDEN=1.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from vcam.assemble import open_matter
from vcam.catalogue import DEFAULT_ENGINE
from vcam.colour import to_rgb
from vcam.frame import Size
from vcam.masks import picture_alpha
from vcam.matting.matter import Matter
from vcam.sources import make_source
from vcam.sources.base import SourceRequest

FOLDER = Path(__file__).with_name("golden")
PICTURES: dict[str, tuple[Size, int]] = {
    "wide_start": ((640, 360), 0),
    "wide_later": ((640, 360), 60),
    "four_to_three": ((480, 360), 120),
    "upright": ((270, 480), 200),
}
"""Size and number of a frame of the demo."""


def demo_alpha(size: Size, number: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with make_source("demo", SourceRequest(size)) as source:
        frames = [source.read() for _ in itertools.repeat(None, number + 1)]
    frame = frames[-1]
    assert frame is not None
    with open_matter(DEFAULT_ENGINE, (), "onnxruntime", 1) as matter:
        assert isinstance(matter, Matter)
        return picture_alpha(matter, to_rgb(frame))


@pytest.mark.parametrize("name", PICTURES)
def test_the_mask_is_the_known_one(name: str) -> None:
    alpha = demo_alpha(*PICTURES[name])
    path = FOLDER / f"{name}.png"
    if os.environ.get("VCAM_WRITE_GOLDEN"):
        FOLDER.mkdir(exist_ok=True)
        cv2.imwrite(str(path), alpha)
    golden = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert golden is not None, f"{path} is missing"
    assert golden.shape == alpha.shape
    person, known = alpha >= 128, golden >= 128
    assert 0.15 < known.mean() < 0.9
    assert (person & known).sum() / (person | known).sum() > 0.99
    assert np.abs(alpha.astype(int) - golden).mean() < 2
