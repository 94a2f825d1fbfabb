"""Choose the best person engine that keeps the frame rate on this machine."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np

from vcam.backends.base import Backend
from vcam.catalogue import EngineSpec
from vcam.errors import EngineError
from vcam.frame import Frame, Matrix, Matte, Size
from vcam.matting.matter import Matter
from vcam.matting.pyramid import Pyramid

_RESERVE = 1 / 3
"""Share of the frame period that must remain unused."""
_MEASURE_S, _MOST_RUNS, _WARM_UP = 0.3, 15, 2
_CHOICE_S = 2.0
"""No further engine is tried after this time."""
_PATIENCE_S = 5.0
"""Frames are dropped for this long before a faster engine takes over."""
_CALM_S = 1.0
"""Isolated drops further apart than this are ignored."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One engine to choose from. quality: mean IoU on test pictures, 0..1; see `quality_of`."""

    name: str
    quality: float
    make: Callable[[], Backend]


@dataclass(frozen=True, slots=True)
class _Measured:
    """An open candidate, by index, with its measured seconds per frame."""

    index: int
    matter: Matter
    taken_s: float


def quality_of(specs: Sequence[EngineSpec]) -> dict[str, float]:
    """Mean person IoU, 0..1, by engine name, over the test sets on which all of these engines were
    measured; 0 for all without such a set.
    """
    measured = [
        {
            row["set"]: float(row["mean"])
            for row in spec.about.get("quality", ())
            if row.get("metric") == "iou"
        }
        for spec in specs
    ]
    shared = set.intersection(*map(set, measured)) if measured else set()
    return {
        spec.name: statistics.fmean(scores[name] for name in shared) if shared else 0.0
        for spec, scores in zip(specs, measured, strict=True)
    }


class AutoMatter:
    """A `MatteEngine` that measures engines when first opened and takes the best that is fast
    enough. If frames are dropped for five seconds, it changes to the next faster one; it never
    changes back.

    Args:
        candidates: at least one; tried in order of quality, best first.
        size: (width, height) of the frames.
        fps: the frame rate; None: no limit, so the best engine is taken.
        clock: monotonic seconds.
        title: the beginning of the sentence that explains the choice.

    Attributes:
        candidates: in the order of trial.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        size: Size,
        fps: float | None,
        clock: Callable[[], float] = time.monotonic,
        title: str = "auto",
    ) -> None:
        self._title = title
        self.candidates = sorted(candidates, key=lambda x: x.quality, reverse=True)
        self._frame_size, self._clock = size, clock
        self._budget_s = None if fps is None else (1 - _RESERVE) / fps
        self._chosen: _Measured | None = None
        self._why = "not chosen yet"
        self._dropped, self._trouble_since, self._last_drop = 0, 0.0, float("-inf")

    @property
    def has_worked(self) -> bool:
        """Whether an engine was open before."""
        return self._chosen is not None

    def __enter__(self) -> Self:
        """Open the chosen engine again, or measure and choose one.

        Raises:
            EngineError: no candidate opens.
        """
        if self._chosen is not None:
            self._chosen.matter.__enter__()
            return self
        slow: list[_Measured] = []
        failure: EngineError | None = None
        begun = self._clock()
        for index in range(len(self.candidates)):
            if slow and self._clock() - begun > _CHOICE_S:
                break  # the user is waiting; take the fastest so far
            try:
                found = self._measured(index)
            except EngineError as error:
                failure = error
                continue
            if self._budget_s is None or found.taken_s <= self._budget_s:
                self._settle(found)
                return self
            found.matter.__exit__(None, None, None)
            slow.append(found)
        if not slow:
            raise failure or EngineError("no person engine to choose from; see `vcam engines`")
        fastest = min(slow, key=lambda x: x.taken_s)
        fastest.matter.__enter__()
        self._settle(fastest)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._running.__exit__(kind, error, trace)

    def about(self) -> dict[str, object]:
        """The engine in use, and the reason for the choice under `choice`."""
        running = self._chosen.matter.about() if self._chosen else {}
        return running | {"choice": self._why}

    def reset(self) -> None:
        """See `Matter`."""
        self._running.reset()

    def matte(self, frame: Frame, pyramid: Pyramid) -> Matte:
        """See `Matter`."""
        return self._running.matte(frame, pyramid)

    def notice_drops(self, dropped: int) -> None:
        """See `MatteEngine`; after five seconds of drops, change to the next faster engine."""
        if dropped <= self._dropped:
            return
        now = self._clock()
        if now - self._last_drop > _CALM_S:
            self._trouble_since = now
        self._dropped, self._last_drop = dropped, now
        if now - self._trouble_since >= _PATIENCE_S:
            self._step_down()
            self._trouble_since = self._clock()

    @property
    def _running(self) -> Matter:
        assert self._chosen is not None, "an engine is run inside its context only"
        return self._chosen.matter

    def _settle(self, found: _Measured, because: str = "") -> None:
        self._chosen = found
        limit = "" if self._budget_s is None else f" of {self._budget_s * 1e3:.1f}"
        name = self.candidates[found.index].name
        self._why = f"{self._title}: {name}, {found.taken_s * 1e3:.1f}{limit} ms a frame{because}"
        _log.info("%s", self._why)

    def _measured(self, index: int) -> _Measured:
        """Open a candidate and measure the median time from a frame to its matte.

        Raises:
            EngineError: it does not open or run.
        """
        matter = Matter(self.candidates[index].make())
        matter.__enter__()
        try:
            times = list(self._times_s(matter))
        except BaseException:
            matter.__exit__(None, None, None)
            raise
        matter.reset()
        return _Measured(index, matter, statistics.median(times))

    def _times_s(self, matter: Matter) -> Iterator[float]:
        frame = Frame.empty(self._frame_size, Matrix.BT709)
        frame.data[:] = np.random.default_rng(0).integers(16, 236, frame.data.shape, np.uint8)
        begun = self._clock()
        for run in range(_WARM_UP + _MOST_RUNS):
            start = self._clock()
            matter.matte(frame, Pyramid.of(frame))
            end = self._clock()
            late = end - begun > _MEASURE_S
            if run >= _WARM_UP or late:
                yield end - start
            if late:
                return

    def _step_down(self) -> None:
        """Change to the best engine of lower quality that is faster than the current one."""
        assert self._chosen is not None, "an engine is run inside its context only"
        for index in range(self._chosen.index + 1, len(self.candidates)):
            try:
                found = self._measured(index)
            except EngineError as error:
                _log.warning("%s cannot take over: %s", self.candidates[index].name, error)
                continue
            if found.taken_s < self._chosen.taken_s:
                self._running.__exit__(None, None, None)
                self._settle(found, "; a faster one, frames were dropped")
                return
            found.matter.__exit__(None, None, None)
