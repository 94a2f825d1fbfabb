"""Runs of fakes that can be changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from tests.helpers import PERSON, SENTINEL, SIZE, frame_of
from vcam.backends.fake import FakeBackend
from vcam.colour import from_rgb
from vcam.control.actions import Actions, House
from vcam.control.control import Control, Parts, made_effect
from vcam.control.costs import Costs
from vcam.control.gallery import Gallery
from vcam.control.settings import Settings
from vcam.control.tap import Tap
from vcam.control.wanted import wanted_of
from vcam.errors import EngineError, SourceError
from vcam.frame import Frame, Matrix
from vcam.linux.viewers import FakeReaders
from vcam.matting.matter import MatteEngine, Matter
from vcam.pipeline import pipeline as pipelines
from vcam.pipeline.pipeline import Pipeline, PipelineConfig
from vcam.sinks.recording import RecordingSink
from vcam.sources.base import Source, SourceRequest
from vcam.sources.memory import MemorySource

PATIENCE_S = 20.0


def until(condition: Callable[[], object], patience_s: float = PATIENCE_S) -> bool:
    deadline_s = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.005)
    return True


def lopsided_frame() -> Frame:
    """A room with a person whose left half is dark: mirroring shows."""
    picture = np.full((SIZE[1], SIZE[0], 3), SENTINEL, np.uint8)
    rows = slice(SIZE[1] // 4, SIZE[1] * 3 // 4)
    picture[rows, SIZE[0] // 4 : SIZE[0] // 2] = (40, 40, 40)
    picture[rows, SIZE[0] // 2 : SIZE[0] * 3 // 4] = PERSON
    return from_rgb(picture, Matrix.BT601)


@dataclass
class Run:
    """A run of fakes. sources, backends: by the names that `set` takes for them."""

    control: Control
    pipeline: Pipeline
    sink: RecordingSink
    sources: dict[str, Source]
    backends: dict[str, FakeBackend]

    def next_frames(self, count: int = 3) -> list[Frame]:
        """The next frames that are sent."""
        start = len(self.sink.frames)
        assert until(lambda: len(self.sink.frames) >= start + count), self.pipeline.state
        return self.sink.frames[start : start + count]


@contextmanager
def running(
    effects: Sequence[str] = ("color:#203040",),
    sources: Mapping[str, Source] | None = None,
    backends: Mapping[str, FakeBackend] | None = None,
    config: PipelineConfig | None = None,
    readers: FakeReaders | None = None,
) -> Iterator[Run]:
    """A live run that can be changed, while the block runs."""
    known = dict(sources or {"first": MemorySource([frame_of()], fps=100, live=True)})
    engines = {"one": FakeBackend(), **(backends or {})}
    matters = {name: Matter(backend) for name, backend in engines.items()}
    sink = RecordingSink(live=True, size=SIZE, matrix=Matrix.BT601)
    wanted = wanted_of({"effect": effects, "source": next(iter(known)), "engine": "one"})
    made = [made_effect(worn) for worn in wanted.effects]
    tap = Tap()

    def new_source(name: str, _: SourceRequest) -> Source:
        if name not in known:
            raise SourceError(f"{name}: no such device; `vcam devices` lists those there are")
        source = known[name]
        if isinstance(source, MemorySource):
            source._interrupted.clear()
        return source

    def new_matter(name: str) -> MatteEngine:
        if name not in matters:
            raise EngineError(f"unknown engine {name!r}")
        return matters[name]

    pipeline = Pipeline(
        pipelines.Parts(
            make_source=lambda request: new_source(wanted.source, request),
            matter=matters["one"],
            effects=made,
            sink=sink,
            watch=(lambda _: readers) if readers is not None else None,
            on_sent=tap.offer,
        ),
        config or PipelineConfig(card_after_s=0.3, retry_s=0.05, longest_retry_s=0.2),
    )
    control = Control(pipeline, wanted, made, Parts(new_matter, new_source), tap)
    run = Run(control, pipeline, sink, known, engines)
    with control:
        yield run


def write_film(path: Path, rgb: tuple[int, int, int]) -> Path:
    """Twelve pictures of one colour."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=12, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        pixels = np.full((SIZE[1], SIZE[0], 3), rgb, np.uint8)
        for _ in range(12):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def actions_of(run: Run, folder: Path, profile: Mapping[str, object] | None = None) -> Actions:
    """What can be asked of a run of fakes; all that it writes is below `folder`. Every profile has
    the options `profile`.
    """
    settings = Settings(folder / "config.toml", lambda _: dict(profile or {}))
    house = House(["false"], list, [], settings, lambda: {"cameras": []}, "1")
    gallery = Gallery(folder / "own", folder / "cache")
    return Actions(run.control, house, gallery, Costs(["false"], folder / "costs.json", "1"))
