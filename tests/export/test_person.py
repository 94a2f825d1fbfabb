"""What training draws."""

from __future__ import annotations

import numpy as np
import pytest

from export.data.person import Labelled, Library, beside_people, draw

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


def test_what_lies_beside_people() -> None:
    """Photographs of people hold most of the things that are none."""
    alpha, valid = np.zeros((200, 300), np.uint8), np.ones((200, 300), np.uint8)
    image = np.arange(200 * 300, dtype=np.uint32).astype(np.uint8).reshape(200, 300, 1).repeat(3, 2)
    item = Labelled("x", image, alpha, valid)
    assert beside_people(item) is None  # nobody is in it
    alpha[50:200, 120:180] = 255
    part = beside_people(item)
    assert part is not None
    assert part.is_room
    np.testing.assert_array_equal(part.image, image[:, :120])
    valid[:, 60:100] = 0
    part = beside_people(item)
    assert part is not None
    np.testing.assert_array_equal(part.image, image[:, 180:])
    alpha[0, 250] = 1
    assert beside_people(item) is None  # what is left is too narrow
