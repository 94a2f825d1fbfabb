"""Check the inputs and outputs of engines, in one place for all backends.

A matte decides which pixels leave the machine, so a backend's output is never converted to fit: a
wrong type or shape is an error of the engine. For example, -1 cast to uint8 would be 255, "all
person", which would show the raw room.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vcam.backends.base import Backend, Tensors
from vcam.errors import EngineError
from vcam.frame import FaceClass

_STATE_IN, _STATE_OUT = "state_in", "state_out"
_LEAST_PX, _MOST_PX = 16, 4096
_MOST_STATE = 1 << 26
"""Maximum number of values in all states together; 256 MiB."""
_KINDS = {
    "alpha": ("person", "person engine"),
    "probs": ("face", f"face engine with {len(FaceClass)} classes, or without the person's"),
}
_FACE_PLANES = (len(FaceClass), len(FaceClass) - 1)
"""Of a face engine: all classes, or all but the person's."""

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Contract:
    """The contract that one opened engine declares.

    output: "alpha" of a person engine, uint8 [1, h, w]; "probs" of a face engine, uint8 [1, C, h,
    w]. shape: of the output. size: (h, w) of the input `image`, uint8 [1, h, w, 3] RGB. states:
    shapes of the float32 inputs `state_in*`, by name; each run returns the next ones as
    `state_out*`.
    """

    output: str
    shape: Shape
    size: tuple[int, int]
    states: Mapping[str, Shape] = field(default_factory=dict)

    @classmethod
    def of(cls, backend: Backend, output: str) -> Contract:
        """Read the contract of an open backend.

        Raises:
            EngineError: it is not an engine of that kind, or the contract does not allow its
                shapes.
        """
        kind, wanted = _KINDS[output]
        inputs, outputs = backend.inputs, backend.outputs
        classes = outputs.get(output, ())[1:2]
        if (
            "image" not in inputs
            or output not in outputs
            or (kind == "face" and classes not in {(count,) for count in _FACE_PLANES})
        ):
            found = ", ".join(
                f"{name} {_words(shape)}" for name, shape in (inputs | outputs).items()
            )
            raise EngineError(
                f"not a {wanted} (it has {found}); choose one that `vcam engines` lists as {kind}"
            )
        image = fixed("image", inputs["image"])
        size = image[1:3]
        if (
            len(image) != 4
            or image != (1, *size, 3)
            or not all(_LEAST_PX <= n <= _MOST_PX and n % 2 == 0 for n in size)
        ):
            raise _no_engine(
                f"its input image is {_words(image)} and not 1 x HEIGHT x WIDTH x 3, both even"
            )
        shape = fixed(output, outputs[output])
        if shape[:1] + shape[-2:] != (1, *size) or len(shape) != (3 if output == "alpha" else 4):
            raise _no_engine(
                f"its output {output} is {_words(shape)} for pictures of {_words(size)}"
            )
        return cls(output, shape, (size[0], size[1]), _states(inputs, outputs))

    def zeros(self) -> dict[str, NDArray[np.float32]]:
        """The states before the first picture."""
        return {name: np.zeros(shape, np.float32) for name, shape in self.states.items()}

    def check(self, outputs: Tensors) -> tuple[NDArray[np.uint8], dict[str, NDArray[np.float32]]]:
        """Check a run's outputs; return the output without its batch axis, and the next states.

        Raises:
            EngineError: they differ from the declaration.
        """
        output = checked(outputs, self.output, np.uint8, self.shape)[0]
        states = {
            name: checked(outputs, name.replace(_STATE_IN, _STATE_OUT), np.float32, shape)
            for name, shape in self.states.items()
        }
        return output, states


def _states(inputs: Mapping[str, Shape], outputs: Mapping[str, Shape]) -> dict[str, Shape]:
    states: dict[str, Shape] = {}
    for name in inputs:
        if name == "image":
            continue
        other = name.replace(_STATE_IN, _STATE_OUT)
        if not name.startswith(_STATE_IN) or other not in outputs:
            raise _no_engine(f"its input {name!r} is neither image nor a state that it gives back")
        states[name] = fixed(name, inputs[name])
        if states[name] != fixed(other, outputs[other]):
            raise _no_engine(
                f"{name} is {_words(inputs[name])}, and {other} is {_words(outputs[other])}"
            )
    if sum(int(np.prod(shape, dtype=object)) for shape in states.values()) > _MOST_STATE:
        raise _no_engine(f"its states hold more than {_MOST_STATE} numbers")
    return states


def fixed(name: str, shape: tuple[Any, ...]) -> Shape:
    """Return the shape if all of its dimensions are fixed."""
    if not shape or not all(isinstance(n, int) and 0 < n < 1 << 31 for n in shape):
        raise _no_engine(f"the shape of {name} is not fixed ({_words(shape)})")
    return shape


def checked(outputs: Tensors, name: str, dtype: type, shape: Shape) -> NDArray[Any]:
    """Return one output of a run, which must have exactly this type and shape.

    Raises:
        EngineError: it is not, or it is missing.
    """
    value = outputs.get(name)
    if not isinstance(value, np.ndarray) or value.dtype != dtype or value.shape != shape:
        found = (
            f"{value.dtype} {_words(value.shape)}" if isinstance(value, np.ndarray) else "nothing"
        )
        raise EngineError(
            f"the engine gave {found} as {name} and not {np.dtype(dtype)} {_words(shape)}; export"
            " it again, or choose another --engine"
        )
    return value


def _no_engine(reason: str) -> EngineError:
    return EngineError(
        f"the engine cannot be used: {reason}; export it again, or choose another --engine"
    )


def _words(shape: tuple[Any, ...]) -> str:
    return " x ".join(map(str, shape)) or "a single number"
