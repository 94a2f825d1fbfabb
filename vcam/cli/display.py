"""Progress on a terminal; elsewhere only errors and warnings."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from vcam.monitor import IDLE, RUNNING, Snapshot, State
from vcam.sources.base import Source


def _bar() -> Progress:
    """A progress display on standard error; silent if that is not a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, disable=not console.is_terminal)


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar of `total` steps with their rate; the yielded function takes the number of
    steps done since its last call.
    """
    start_s, done = time.monotonic(), 0
    with _bar() as bar:
        task = bar.add_task(title, total=total)

        def step(steps: int) -> None:
            nonlocal done
            done += steps
            rate = done / max(1e-3, time.monotonic() - start_s)
            bar.update(task, advance=steps, description=f"{title}: {rate:.2g} a second")

        yield step


@contextmanager
def opened_status(status: Status) -> Iterator[Callable[[Source, Snapshot], None]]:
    """A status line while the block runs; the yielded function updates it."""
    with status:
        yield status.update


class Status:
    """A live line with rate, latency and drops; with a bar if the number of frames is known.

    Args:
        title: the destination.
        total: the number of frames; None: ask the source.
        about: the engine and backend in use, and under `choice` why an engine was chosen.
    """

    def __init__(
        self,
        title: str,
        total: int | None,
        about: Callable[[], Mapping[str, object]] = dict,
    ) -> None:
        self._title, self._total, self._about = title, total, about
        self._choice: object = None
        self._display = _bar()
        self._task: TaskID | None = None
        self._mode = ""
        self._state = State()

    def __enter__(self) -> Self:
        self._display.start()
        self._task = self._display.add_task(f"{self._title}: starting", total=self._total)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._display.stop()

    def update(self, source: Source, now: Snapshot) -> None:
        """Show the statistics."""
        if self._task is None:
            return
        self._tell(now.state)
        if source.mode != self._mode and not self._display.disable:
            self._mode = source.mode
            self._display.console.print(
                f"{source.name}: {source.mode}", markup=False, highlight=False
            )
        choice = self._about().get("choice")
        if choice and choice != self._choice and now.frames and not self._display.disable:
            self._choice = choice
            self._display.console.print(str(choice), markup=False, highlight=False)
        total = self._total or source.frames
        self._display.update(
            self._task, description=self._line(now, total), completed=now.frames, total=total
        )

    def _tell(self, state: State) -> None:
        """Print trouble and its end as separate lines, which also stay in a journal."""
        trouble, was = not state.healthy, not self._state.healthy
        if (trouble and state != self._state) or (was and state.name == RUNNING):
            self._display.console.print(
                f"vcam: {state}", markup=False, highlight=False, soft_wrap=True
            )
        if trouble or state.name in (RUNNING, IDLE):
            self._state = state

    def _line(self, now: Snapshot, total: int | None) -> str:
        if total:  # a file: single frames do not matter, and none is dropped
            return f"{self._title}: {now.fps:.0f} fps"
        if now.state.name != RUNNING:
            return f"{self._title}: {now.state.name}"
        latency = f"latency {now.latency.p50_ms:.0f}/{now.latency.p95_ms:.0f} ms p50/p95"
        drops = ", ".join(f"{count} {cause}" for cause, count in now.drops.items()) or "none"
        return f"{self._title}: {now.fps:5.1f} fps  {latency}  drops {drops}"
