"""A backend without an engine, for tests and to measure the rest of the pipeline."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vcam.backends.base import Tensors
from vcam.errors import EngineError

Rule = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""From an image uint8 [H, W, 3] RGB to an alpha uint8 [H, W]."""


def centre_is_person(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A rule: the middle half of the picture, in both directions, is person."""
    height, width = image.shape[:2]
    alpha = np.zeros((height, width), np.uint8)
    alpha[height // 4 : height - height // 4, width // 4 : width - width // 4] = 255
    return alpha


class FakeBackend:
    """A person engine that follows a rule; it can be made to stall or fail.

    Args:
        rule: computes the alpha.
        size: (height, width) of its input.
        fail_at: the run (from 0) that raises EngineError, or several.
        stall_at: the run that blocks until `release` is set.
        refuse: the openings (from 0) that raise EngineError.
    """

    name = "fake"

    def __init__(
        self,
        rule: Rule = centre_is_person,
        size: tuple[int, int] = (64, 64),
        fail_at: int | Collection[int] | None = None,
        stall_at: int | None = None,
        refuse: Collection[int] = (),
    ) -> None:
        self._rule, self._stall_at, self._refuse = rule, stall_at, refuse
        self._fail_at = {fail_at} if isinstance(fail_at, int) else set(fail_at or ())
        self.inputs: dict[str, tuple[int, ...]] = {"image": (1, *size, 3)}
        self.outputs: dict[str, tuple[int, ...]] = {"alpha": (1, *size)}
        self.runs = 0
        self.openings = 0
        self.open = False
        self.threads: set[int] = set()
        self.release = threading.Event()

    def __enter__(self) -> Self:
        opening, self.openings = self.openings, self.openings + 1
        if opening in self._refuse:
            raise EngineError(f"fake engine: opening {opening} fails as asked")
        self.open = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.open = False

    def run(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        run, self.runs = self.runs, self.runs + 1
        self.threads.add(threading.get_ident())
        if run in self._fail_at:
            raise EngineError(f"fake engine: run {run} fails as asked")
        if run == self._stall_at:
            self.release.wait(60)
        return {"alpha": self._rule(inputs["image"][0])[None]}

    def about(self) -> dict[str, object]:
        return {"backend": self.name, "engine": "fake"}
