"""What training draws."""

from __future__ import annotations

import numpy as np
import pytest

from export.data.person import Labelled, Library, draw

_SIZE = (32, 32)


def _plain(level: int, alpha: int) -> Labelled:
    image = np.full((40, 60, 3), level, np.uint8)
    return Labelled("x", image, np.full((40, 60), alpha, np.uint8), np.ones((40, 60), np.uint8))


@pytest.mark.parametrize("finish", [False, True])
def test_pictures_without_anybody_have_a_share_of_their_own(finish: bool) -> None:
    """What looks like a person and is none would drown among hundreds of rooms."""
    person, room, cat = _plain(50, 255), _plain(120, 0), _plain(200, 0)
    library = Library([person], [person], [person], [person], [room] * 400 + [cat], [cat])
    rng = np.random.default_rng(1)
    samples = [draw(library, _SIZE, rng, finish) for _ in range(400)]
    cats = [s for s in samples if s.clean.mean() > 190]
    assert 8 <= len(cats) <= 40  # 5 % of 400 are 20
    assert not any(s.alpha.any() for s in cats)


def test_nothing_is_drawn_from_an_empty_pool() -> None:
    person = _plain(50, 255)
    library = Library([person], (), (), (), (), ())
    rng = np.random.default_rng(1)
    assert all(draw(library, _SIZE, rng).alpha.all() for _ in range(50))
