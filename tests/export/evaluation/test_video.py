from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.data.image import Image
from export.evaluation.scenes import test_rooms as rooms_of
from export.evaluation.scenes import test_set as set_of
from export.evaluation.video import dtssd, evaluate_video, flicker, moved, trailing


def _bar(left: int) -> Image:
    plane = np.zeros((20, 100), np.uint8)
    plane[:, left : left + 30] = 255
    return plane


_TRUTH = [_bar(10 + 2 * t) for t in range(12)]


def test_the_truth_is_steady() -> None:
    pictures = [np.dstack([x] * 3) for x in _TRUTH]
    assert flicker(_TRUTH, pictures) == dtssd(_TRUTH, _TRUTH) == trailing(_TRUTH, _TRUTH) == 0


def test_flicker_counts_where_nothing_changes() -> None:
    pictures = [np.zeros((20, 100, 3), np.uint8)] * 3
    pictures[2] = pictures[2].copy()
    pictures[2][:, :50] = 9
    found = [np.full((20, 100), x, np.uint8) for x in (0, 51, 0)]
    found[2][:, :50] = 255  # a change where the picture changes, too, is none
    assert flicker(found, pictures) == pytest.approx(20)


def test_dtssd() -> None:
    off = [x.copy() for x in _TRUTH]
    off[5][:10, :50] = (
        255 - off[5][:10, :50]
    )  # a quarter of the frame, wrong once: the changes to it and from it
    assert dtssd(off, _TRUTH) == pytest.approx(100 * 2 * 0.5 / 11)
    assert dtssd([np.clip(x, 0, 100) for x in _TRUTH], _TRUTH) > 0


def test_trailing_is_behind() -> None:
    late = [_TRUTH[max(0, t - 2)] for t in range(12)]
    assert trailing(late, _TRUTH) == pytest.approx(100 * 2 / 3, abs=0.1)
    early = [_TRUTH[min(11, t + 2)] for t in range(12)]
    assert trailing(early, _TRUTH) == pytest.approx(-100 * 2 / 3, abs=0.1)
    large = [np.maximum(_TRUTH[max(0, t - 2)], _TRUTH[min(11, t + 2)]) for t in range(12)]
    assert trailing(large[2:10], _TRUTH[2:10]) == pytest.approx(0, abs=0.1)
    assert trailing([_bar(10)] * 12, [_bar(10)] * 12) == 0


def test_clips_move(data: Path) -> None:
    person, room = set_of(data, "person/cutouts")[0], rooms_of(data)[0].image
    clip = moved(person, room, np.random.default_rng(1))
    assert len(clip.frames) == len(clip.clean) == len(clip.alphas) == 34
    assert all((x == clip.alphas[0]).all() for x in clip.alphas[:10])
    middles = [float(np.flatnonzero((x > 127).any(0)).mean()) for x in clip.alphas]
    assert max(middles) - min(middles) == pytest.approx(2 * 0.08 * 640, abs=4)
    assert np.abs(clip.frames[0].astype(int) - clip.clean[0]).mean() == pytest.approx(1.6, abs=0.3)


class _Noisy:
    """Sees people wherever the noise is bright."""

    def alpha(self, image: Image) -> Image:
        return np.where(image[..., 0] % 2 == 1, 255, 0).astype(np.uint8)


def test_an_engine_that_follows_the_noise_flickers(data: Path) -> None:
    scores = {x.metric: x for x in evaluate_video(_Noisy(), data)}
    assert list(scores) == ["flicker", "dtssd", "trailing"]
    assert scores["flicker"].images == 2
    assert scores["flicker"].mean == pytest.approx(50, abs=5)
    assert scores["dtssd"].mean > 50
