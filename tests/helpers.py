"""Pictures and pipelines that several tests need."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np

from vcam.backends.base import Backend
from vcam.backends.fake import FakeBackend
from vcam.clock import Clock
from vcam.colour import from_rgb
from vcam.effects import make_effect
from vcam.effects.base import Effect
from vcam.frame import Frame, Matrix
from vcam.linux.viewers import Readers
from vcam.matting.matter import Matter
from vcam.monitor import Stats
from vcam.pipeline.pipeline import Parts, Pipeline, PipelineConfig
from vcam.sinks.base import Sink
from vcam.sources.base import Source, SourceRequest

STRICT = ("-W", "error", "-W", "ignore::DeprecationWarning:typer")
"""For child processes: no warning, but those of an older Typer at a newer Click."""
SIZE = (160, 96)
SENTINEL = (255, 0, 255)
"""The colour of the room in tests: it must never leave."""
PERSON = (230, 200, 40)


def frame_of(
    room: tuple[int, int, int] = SENTINEL, person: tuple[int, int, int] = PERSON, index: int = 0
) -> Frame:
    """A room with a person in the middle half, as `vcam.backends.fake.centre_is_person`
    finds one.
    """
    width, height = SIZE
    picture = np.full((height, width, 3), room, np.uint8)
    picture[height // 4 : height * 3 // 4, width // 4 : width * 3 // 4] = person
    return from_rgb(picture, Matrix.BT601, index=index)


def room_is_hidden(frame: Frame) -> bool:
    """Whether no pixel outside the person's surroundings has the sentinel's chroma."""
    sentinel = frame_of()
    margin = 6
    outside = np.ones(frame.u.shape, bool)
    rows, columns = frame.u.shape
    outside[
        rows // 4 - margin : rows * 3 // 4 + margin,
        columns // 4 - margin : columns * 3 // 4 + margin,
    ] = False
    near = np.abs(frame.v.astype(int) - int(sentinel.v[0, 0])) < 30
    near &= np.abs(frame.u.astype(int) - int(sentinel.u[0, 0])) < 30
    return not bool((near & outside).any())


def pipeline_of(
    source: Source | Callable[[SourceRequest], Source],
    sink: Sink,
    effects: Sequence[str | Effect] = ("color:#203040",),
    backend: Backend | None = None,
    config: PipelineConfig | None = None,
    stats: Stats | None = None,
    watch: Callable[[str], Readers] | None = None,
) -> Pipeline:
    """A pipeline of fakes."""
    return Pipeline(
        Parts(
            make_source=source if callable(source) else lambda _: source,
            matter=Matter(backend or FakeBackend()),
            effects=[make_effect(e) if isinstance(e, str) else e for e in effects],
            sink=sink,
            watch=watch,
        ),
        config,
        stats,
    )


class SetClock(Clock):
    """A clock that stands still, and that a wait puts forward. `waits`: what was waited
    for, in s.
    """

    def __init__(self) -> None:
        self.s = 100.0
        self.waits: list[float] = []

    def now_ns(self) -> int:
        return round(self.s * 1e9)

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        if not event.is_set():
            self.waits.append(timeout_s)
            self.s += timeout_s
        return event.is_set()
