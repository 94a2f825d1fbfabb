"""What a backend gives back is checked, never converted: a wrong matte would let the raw
room out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vcam.backends.fake import FakeBackend
from vcam.errors import EngineError
from vcam.face.networks import FaceDetector
from vcam.face.parser import FaceParser
from vcam.frame import FaceClass
from vcam.matting.matter import Matter

Answer = Callable[[NDArray[Any]], Any]

WRONG: dict[str, Answer] = {
    "-1 as int8": lambda right: np.full(right.shape, -1, np.int8),
    "-1 as int16": lambda right: np.full(right.shape, -1, np.int16),
    "-1 as float": lambda right: np.full(right.shape, -1, np.float32),
    "511 as int64": lambda right: np.full(right.shape, 511, np.int64),
    "0..1 as float": lambda right: np.ones(right.shape, np.float32),
    "NaN": lambda right: np.full(right.shape, np.nan, np.float32),
    "bool": lambda right: np.ones(right.shape, np.bool_),
    "objects": lambda right: np.full(right.shape, 255, object),
    "half the height": lambda right: right[..., : right.shape[-2] // 2, :],
    "turned": lambda right: np.ascontiguousarray(right.swapaxes(-1, -2))[..., :-2],
    "no batch": lambda right: right[0],
    "two batches": lambda right: np.concatenate([right, right]),
    "flat": lambda right: right.reshape(-1),
    "one number": lambda _: np.uint8(255),
    "empty": lambda right: right[..., :0],
    "a list": lambda right: right.tolist(),
    "nothing": lambda _: None,
}


class Engine(FakeBackend):
    """Declares what the contract wants and gives something else from its second run on."""

    def __init__(self, name: str, answer: Answer | None, at: int = 1) -> None:
        super().__init__()
        shape = (1, 64, 64) if name == "alpha" else (1, len(FaceClass), 64, 64)
        self.outputs = {name: shape}
        self._right, self._answer, self._at = np.zeros(shape, np.uint8), answer, at

    def run(self, inputs: Any) -> dict[str, Any]:
        self.runs += 1
        is_wrong = self._answer is not None and self.runs > self._at
        given = self._answer(self._right) if is_wrong and self._answer else self._right
        return {} if given is None else {next(iter(self.outputs)): given}


@pytest.mark.parametrize("at", [0, 1], ids=["at once", "later"])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_matte_of_another_type_or_shape_is_an_error(wrong: str, at: int) -> None:
    engine = Engine("alpha", WRONG[wrong], at)
    image = np.zeros((64, 64, 3), np.uint8)
    with (
        pytest.raises(EngineError, match=r"gave .* as alpha and not uint8 1 x 64 x 64"),
        Matter(engine) as matter,
    ):
        matter.alpha(image)
    assert not engine.open


@pytest.mark.parametrize("wrong", WRONG)
def test_classes_of_another_type_or_shape_are_an_error(wrong: str) -> None:
    engine = Engine("probs", WRONG[wrong])
    image = np.zeros((64, 64, 3), np.uint8)
    with (
        pytest.raises(EngineError, match="as probs and not uint8 1 x 9 x 64 x 64"),
        FaceParser(engine) as parser,
    ):
        parser.probs(image)


@pytest.mark.parametrize("given", [np.ones((1, 8), np.float64), np.ones((8,), np.float32), None])
def test_a_state_of_another_type_or_shape_is_an_error(given: Any) -> None:
    class Remembers(Engine):
        def run(self, inputs: Any) -> dict[str, Any]:
            assert inputs["state_in_0"].dtype == np.float32
            outputs = {**super().run(inputs), "state_out_0": np.ones((1, 8), np.float32)}
            return outputs if self.runs < 2 else {**outputs, "state_out_0": given}

    engine = Remembers("alpha", None)
    engine.inputs["state_in_0"] = engine.outputs["state_out_0"] = (1, 8)
    with pytest.raises(EngineError, match="as state_out_0"), Matter(engine) as matter:
        matter.alpha(np.zeros((64, 64, 3), np.uint8))


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ({"image": ("N", 64, 64, 3)}, {"alpha": (1, 64, 64)}),
        ({"image": (1, 64, 64, 3)}, {"alpha": (1, None, 64)}),
        ({"image": (1, 64, 64, 3)}, {"alpha": (1, 32, 64)}),
        ({"image": (1, 64, 64, 3)}, {"alpha": (1, 64, 64, 1)}),
        ({"image": (1, 64, 64, 3)}, {"alpha": ()}),
        ({"image": (1, 64, 64, 4)}, {"alpha": (1, 64, 64)}),
        ({"image": (2, 64, 64, 3)}, {"alpha": (2, 64, 64)}),
        ({"image": (1, 63, 64, 3)}, {"alpha": (1, 63, 64)}),
        ({"image": (1, -64, 64, 3)}, {"alpha": (1, -64, 64)}),
        ({"image": (1, 1 << 20, 64, 3)}, {"alpha": (1, 1 << 20, 64)}),
        ({"image": (1, 64, 64, 3), "size": (1,)}, {"alpha": (1, 64, 64)}),
        ({"image": (1, 64, 64, 3), "state_in": (1,)}, {"alpha": (1, 64, 64)}),
        ({"image": (1, 64, 64, 3), "state_in": (1,)}, {"alpha": (1, 64, 64), "state_out": (2,)}),
        (
            {"image": (1, 64, 64, 3), "state_in": (1 << 40,)},
            {"alpha": (1, 64, 64), "state_out": (1 << 40,)},
        ),
        (
            {"image": (1, 64, 64, 3), "state_in": (1 << 30,)},
            {"alpha": (1, 64, 64), "state_out": (1 << 30,)},
        ),
    ],
)
def test_shapes_that_the_contract_does_not_allow_are_refused(
    inputs: dict[str, tuple[Any, ...]], outputs: dict[str, tuple[Any, ...]]
) -> None:
    engine = Engine("alpha", None)
    engine.inputs, engine.outputs = inputs, outputs
    with pytest.raises(EngineError, match="cannot be used"), Matter(engine):
        pass
    assert (engine.runs, engine.open) == (0, False)


@pytest.mark.parametrize("wrong", ["0..1 as float", "-1 as int8", "flat", "nothing", "empty"])
def test_boxes_of_another_type_or_shape_are_an_error(wrong: str) -> None:
    class Boxes(Engine):
        def run(self, inputs: Any) -> dict[str, Any]:
            self.runs += 1
            right = np.zeros((1, 4, 9), np.float32)
            given = right if self.runs == 1 else WRONG[wrong](right)
            if wrong == "0..1 as float":
                given = right.astype(np.float64) if self.runs > 1 else right
            return {} if given is None else {"faces": given}

    engine = Boxes("alpha", None)
    engine.outputs = {"faces": (1, 4, 9)}
    image = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(EngineError, match="as faces and not float32"), FaceDetector(engine) as it:
        it.answer(image)


def test_a_face_engine_without_the_persons_class() -> None:
    """EasyPortrait 2's eight classes: the person's plane is 0, the others keep their numbers."""
    shape = (1, len(FaceClass) - 1, 64, 64)
    planes = np.arange(1, shape[1] + 1, dtype=np.uint8).reshape(1, -1, 1, 1) + np.zeros(
        shape, np.uint8
    )

    class _Eight(FakeBackend):
        def __init__(self) -> None:
            super().__init__()
            self.outputs = {"probs": shape}

        def run(self, inputs: Any) -> dict[str, Any]:
            return {"probs": planes}

    with FaceParser(_Eight()) as parser:
        probs = parser.probs(np.zeros((64, 64, 3), np.uint8))
    assert probs.shape == (len(FaceClass), 64, 64)
    assert probs[:, 0, 0].tolist() == [1, 0, 2, 3, 4, 5, 6, 7, 8]
