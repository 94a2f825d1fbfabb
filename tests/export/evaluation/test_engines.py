from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.evaluation.engines import OnnxMatting, answers


@dataclass
class _Tensor:
    name: str
    shape: list[int]


class _Session:
    """Answers with the state, which grows by a tenth from frame to frame."""

    def get_inputs(self) -> list[_Tensor]:
        return [_Tensor("image", [2, 4, 6, 3]), _Tensor("state_in", [2, 1, 4, 6])]

    def run(self, names: list[str], feed: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        assert names == ["alpha", "state_out"]
        assert feed["image"].shape == (2, 4, 6, 3)
        return [
            np.rint(feed["state_in"][:, 0] * 250).astype(np.uint8),
            feed["state_in"] + np.float32(0.1),
        ]


def test_the_state_goes_on_within_a_clip_only() -> None:
    engine = OnnxMatting(_Session())
    frame = np.zeros((8, 12, 3), np.uint8)
    for _ in range(2):
        assert [int(x.max()) for x in answers(engine, [frame] * 3)] == [0, 25, 50]
        assert engine.alpha(frame).shape == (8, 12)
        assert not engine.alpha(frame).any()
