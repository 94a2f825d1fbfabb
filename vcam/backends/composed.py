"""Composite backends: the first of several that opens, and one that is replaced by a better one
during the run.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from numpy.typing import NDArray

from vcam.backends.base import Backend, Tensors
from vcam.errors import EngineError

_LOG = logging.getLogger(__name__)
_JOIN_S = 1.0


class _Delegate:
    """A backend that delegates to another one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.inputs: dict[str, tuple[int, ...]] = {}
        self.outputs: dict[str, tuple[int, ...]] = {}
        self._active: Backend | None = None

    def _activate(self, backend: Backend) -> None:
        """Delegate to an open backend."""
        self._active = backend
        self.name, self.inputs, self.outputs = backend.name, backend.inputs, backend.outputs

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        active, self._active = self._active, None
        if active is not None:
            active.__exit__(kind, error, trace)

    def run(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        if self._active is None:
            raise EngineError(f"{self.name}: not open; enter the backend first")
        return self._active.run(inputs)


class FirstOf(_Delegate):
    """The first of several backends that opens. Reopened after a failure, it tries the failed
    backend last.

    Args:
        backends: at least one, best first.
        refused: reasons why other backends are excluded; those that do not open are added.
    """

    def __init__(
        self, backends: Sequence[Backend], refused: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(backends[0].name)
        self._backends = backends
        self._refused = dict(refused or {})
        self._failed: list[Backend] = []
        self._about: dict[str, object] = {}

    def run(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        try:
            return super().run(inputs)
        except EngineError as error:
            if self._active is not None and self._active not in self._failed:
                self._failed.append(self._active)
                self._refused[self.name] = str(error)
            raise

    def __enter__(self) -> Self:
        backends = [*(b for b in self._backends if b not in self._failed), *self._failed]
        for backend in backends:
            try:
                backend.__enter__()
            except EngineError as error:
                if backend is backends[-1]:
                    raise
                self._refused[backend.name] = str(error)
            else:
                self._activate(backend)
                break
        why = "".join(f"; not {name}: {reason}" for name, reason in self._refused.items())
        _LOG.info("%s by %s%s", self.about()["engine"], self.name, why)
        return self

    def about(self) -> dict[str, object]:
        active = self._active  # another thread may close it
        if active is not None:
            self._about = active.about()
        return {**self._about, "refused": dict(self._refused)}


class SwappingBackend(_Delegate):
    """Runs one backend at once, and changes to a better one as soon as it is ready.

    Reopened after the better one failed, it no longer uses it.

    The preparation runs in a thread of its own and uses neither backend. The better one is opened
    and takes over in `run`, between two images, in the thread that owns this object.

    Args:
        first: runs meanwhile.
        better: raises EngineError if it is entered before it is prepared.
        prepare: prepares the better one; returns early when the event is set, and raises
            EngineError if it fails.
        refuse: called with the reason if the better one did not open after its preparation.
    """

    def __init__(
        self,
        first: Backend,
        better: Backend,
        prepare: Callable[[threading.Event], object],
        refuse: Callable[[str], object],
    ) -> None:
        super().__init__(first.name)
        self._first, self._better, self._prepare, self._refuse = first, better, prepare, refuse
        self._cancel, self._prepared = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._state = ""
        self._failed = False
        self._about: dict[str, object] = {}

    def __enter__(self) -> Self:
        if self._failed:
            self._activate(self._first.__enter__())
            return self
        try:
            self._activate(self._better.__enter__())
        except EngineError as error:
            _LOG.info("%s does not serve yet: %s", self._better.name, error)
        else:
            return self
        self._activate(self._first.__enter__())
        self._state = "being prepared"
        self._cancel.clear()
        self._thread = threading.Thread(target=self._guard, name="vcam-prepare", daemon=True)
        self._thread.start()
        return self

    def _guard(self) -> None:
        """Run the preparation; report every failure, but let the running backend
        continue.
        """
        try:
            self._prepare(self._cancel)
        except Exception as error:  # noqa: BLE001 - this thread's guard; the reason is kept and reported
            self._state = str(error) or type(error).__name__
            _LOG.info("%s will not serve: %s", self._better.name, self._state)
        else:
            self._prepared.set()

    def run(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        if self._prepared.is_set():
            self._prepared.clear()
            self._swap()
        try:
            return super().run(inputs)
        except EngineError as error:
            if self._active is self._better:
                self._failed, self._state = True, str(error)
            raise

    def _swap(self) -> None:
        self._state = self._open_better()
        if self._state:
            _LOG.info("%s will not serve: %s", self._better.name, self._state)
            self._refuse(self._state)
            return
        old = self._active
        self._activate(self._better)
        if old is not None:
            old.__exit__(None, None, None)
        _LOG.info("%s serves from now on", self.name)

    def _open_better(self) -> str:
        """Enter it; return the reason for a failure, or empty."""
        try:
            self._better.__enter__()
        except EngineError as error:
            return str(error)
        if (self._better.inputs, self._better.outputs) == (self.inputs, self.outputs):
            return ""
        self._better.__exit__(None, None, None)
        return "its inputs or outputs are not those of the engine that serves"

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._cancel.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(
                _JOIN_S
            )  # it ends at the builder's next step; as a daemon it cannot hold the program
        super().__exit__(kind, error, trace)

    def about(self) -> dict[str, object]:
        active = self._active  # another thread may close it
        if active is not None:
            self._about = active.about()
        report = dict(self._about)
        if self._state:
            earlier = report.get("refused")
            others = earlier if isinstance(earlier, dict) else {}
            report["refused"] = {self._better.name: self._state, **others}
        return report
