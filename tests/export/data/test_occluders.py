from __future__ import annotations

import numpy as np

from export.data.items import LabelledFace
from export.data.occluders import occlude


def _face() -> LabelledFace:
    label = np.ones((200, 200), np.uint8)
    label[50:150, 60:140] = 2
    return LabelledFace("x", np.full((200, 200, 3), 100, np.uint8), label, np.ones_like(label))


def test_what_is_covered_is_background() -> None:
    face, texture = _face(), np.full((50, 70, 3), 250, np.uint8)
    shares = []
    for seed in range(20):
        covered = occlude(face, texture, np.random.default_rng(seed))
        hidden = covered.label == 0
        assert (covered.image[hidden] > 170).all()
        assert (covered.label[~hidden] == face.label[~hidden]).all()
        shares.append((hidden & (face.label == 2)).sum() / (face.label == 2).sum())
        again = occlude(face, texture, np.random.default_rng(seed))
        np.testing.assert_array_equal(covered.image, again.image)
    assert min(shares) > 0
    assert 0.03 < np.mean(shares) < 0.4
    assert face.label.min() == 1  # it is left as it was


def test_nothing_to_cover() -> None:
    face = _face()
    nobody = LabelledFace("x", face.image, face.label * 0, face.valid)
    assert occlude(nobody, face.image, np.random.default_rng(1)) is nobody
