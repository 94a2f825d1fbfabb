"""The interface of all backends."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from numpy.typing import NDArray

Tensors = Mapping[str, NDArray[Any]]
"""Arrays by the names of the engine's inputs or outputs."""


class Backend(Protocol):
    """Runs one engine. Opened, run and closed by one thread.

    Attributes:
        name: "onnxruntime", "tensorrt" ...
        inputs, outputs: shapes by name, as the engine contract defines them (batch first).
    """

    name: str
    inputs: dict[str, tuple[int, ...]]
    outputs: dict[str, tuple[int, ...]]

    def __enter__(self) -> Self:
        """Load the engine.

        Raises:
            EngineError: the file does not load, or this machine cannot run it.
        """

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release all resources; may be called twice."""

    def run(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        """Run once. The caller keeps `inputs`; the outputs are new arrays and belong to the caller.

        Raises:
            EngineError: the run failed.
        """

    def about(self) -> dict[str, object]:
        """The backend and engine in use, for reports: at least `backend`, its name, and `engine`,
        its file; also when closed.
        """
