"""Base class of objects that run one engine on a backend."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from vcam.backends.base import Backend


class EngineRunner:
    """Opens, checks and closes the backend of one engine. Used by one thread, like the backend.

    A subclass implements `_start`.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def __enter__(self) -> Self:
        """Open the backend, check the engine and run it once, so no later run is slower.

        Raises:
            EngineError: it does not load or run, or is an engine for another task.
        """
        self._backend.__enter__()
        try:
            self._start()
        except BaseException:
            self._backend.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._backend.__exit__(kind, error, trace)

    def _start(self) -> None:
        """Check the open backend, and run it once."""
        raise NotImplementedError

    def about(self) -> dict[str, object]:
        """The engine and backend in use, for reports; see Backend."""
        return self._backend.about()
