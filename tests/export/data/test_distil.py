from __future__ import annotations

import numpy as np

from export.data.distil import matte_of, softened
from export.data.image import u8
from export.data.items import Labelled


def _square(size: int = 40) -> Labelled:
    alpha = np.zeros((size, size), np.uint8)
    alpha[10:30, 10:30] = 255
    valid = np.ones_like(alpha)
    valid[:, 35:] = 0
    return Labelled("a", np.zeros((size, size, 3), np.uint8), alpha, valid)


def test_the_teacher_speaks_along_the_outline_and_where_no_label_is() -> None:
    item = _square()
    matte = np.zeros((40, 40), np.float32)
    matte[11:29, 11:29] = 0.9  # a pixel inside of the label's outline
    matte[0:5, 38] = 0.7
    soft = softened(item, matte, 5)
    assert soft.alpha[20, 20] == round((0.7 + 0.3 * 0.9) * 255)  # both agree: a share of the matte
    assert soft.alpha[10, 20] == 0  # in the band: the matte alone
    assert soft.alpha[2, 38] == round(0.7 * 255)  # where the mask is silent
    assert soft.valid[2, 38] == 1


def test_a_teacher_that_misses_the_person_does_not_take_them_away() -> None:
    item = _square()
    soft = softened(item, np.zeros((40, 40), np.float32), 5)
    assert soft.alpha[20, 20] == 255
    assert soft.valid[20, 37] == 0  # nor does it speak where the mask is silent
    inside = (soft.alpha < 128) & (item.alpha > 127) & (soft.valid > 0)
    assert not inside[13:27, 13:27].any()


def test_a_matte_is_the_mean_of_both_sides_of_the_mirror() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    image[:, 0] = 255
    matte = matte_of(
        [lambda x: np.float32(x[..., 0] > 0) * np.linspace(1, 0, 6, dtype=np.float32)], image
    )
    np.testing.assert_allclose(matte[:, 0], (1 + 0) / 2)
    assert u8(matte * 255)[:, 1:].max() == 0
