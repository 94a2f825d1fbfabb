"""A working day's use in short: does memory stay flat, and do threads and descriptors go?

    python -m benchmarks.soak --frames 100000 --size 640x360

Four parts: frames through the whole pipeline at full speed; a live run started and stopped again
and again; a camera that is lost and found again and again; and the counters of a day, without
pictures. They run in one process, unless one of them is asked for by name. The result goes to
benchmarks/results/.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.results import save
from vcam.assemble import open_matter
from vcam.bench.machine import resident_bytes
from vcam.catalogue import DEFAULT_ENGINE
from vcam.effects import make_effect
from vcam.errors import SourceLost
from vcam.frame import Frame, Matrix, Size
from vcam.matting.matter import MatteEngine
from vcam.monitor import Snapshot, Stats
from vcam.pipeline.pipeline import Parts, Pipeline, PipelineConfig
from vcam.process import set_up_process
from vcam.sinks import SinkRequest
from vcam.sinks.null import NullSink
from vcam.slot import Policy, Slot
from vcam.sources import make_source
from vcam.sources.base import Source, SourceRequest
from vcam.sources.memory import MemorySource

DAY_FRAMES = 24 * 3600 * 30
_LIVE_FPS = 120.0
_SETTLE_S = 5.0
_PARTS = ("start_and_stop", "replug", "bookkeeping", "frames")


def _descriptors() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


@dataclass(slots=True)
class Sample:
    """What a process holds: memory in MB, threads, descriptors."""

    resident_mb: float = field(default_factory=lambda: round(resident_bytes() / 2**20, 1))
    threads: int = field(default_factory=threading.active_count)
    descriptors: int = field(default_factory=_descriptors)


class LiveNull(NullSink):
    """Stands for a virtual camera."""

    def __init__(self, size: Size) -> None:
        super().__init__("", SinkRequest())
        self.live, self.size, self.matrix = True, size, Matrix.BT601


class LosingSource(MemorySource):
    """A camera that is unplugged after this many frames, each time it is opened."""

    def __init__(self, frames: list[Frame], lose_after: int) -> None:
        super().__init__(frames, _LIVE_FPS, live=True)
        self._lose_after, self._left = lose_after, 0
        self.openings = 0

    def __enter__(self) -> LosingSource:
        self.openings += 1
        self._left = self._lose_after
        super().__enter__()
        return self

    def read(self) -> Frame | None:
        if not self._left:
            raise SourceLost("memory: unplugged")
        self._left -= 1
        return super().read()


@dataclass(frozen=True, slots=True)
class Soak:
    """The parts, of one size and effect. make_matter: a new engine, not opened yet."""

    make_matter: Callable[[], MatteEngine]
    size: Size = (640, 360)
    effect: str = "blur"
    report: Callable[[str], None] = print

    def frames(self, count: int) -> dict[str, Any]:
        """So many frames of the demo through the pipeline, as fast as it goes."""
        self._run_briefly()
        before, samples = Sample(), list[tuple[int, Sample]]()
        every = max(1, count // 50)

        def tick(_: Source, now: Snapshot) -> None:
            if now.frames >= every * (len(samples) + 1):
                samples.append((now.frames, Sample()))
                self.report(f"{now.frames} frames, {samples[-1][1]}, {now.fps:.0f} fps")

        pipeline = self._pipeline(
            lambda request: make_source("demo", request),
            NullSink("", SinkRequest()),
            PipelineConfig(max_frames=count),
        )
        final = pipeline.run(tick)
        half = [sample.resident_mb for _, sample in samples[len(samples) // 2 :]]
        return {
            "frames": final.frames,
            "seconds": round(final.seconds, 1),
            "resident_mb": [(frames, sample.resident_mb) for frames, sample in samples],
            "growth_mb_in_second_half": round(half[-1] - half[0], 1) if half else None,
            **_before_after(before),
        }

    def start_and_stop(self, cycles: int) -> dict[str, Any]:
        """A live run of a few frames, this many times."""
        self._run_briefly()
        before, samples = Sample(), list[Sample]()
        for n in range(1, cycles + 1):
            self._run_briefly()
            if n % max(1, cycles // 10) == 0:
                samples.append(Sample())
                self.report(f"start and stop: {n} of {cycles}, {samples[-1]}")
        resident_mb = [sample.resident_mb for sample in samples]
        return {"cycles": cycles, "resident_mb": resident_mb, **_before_after(before)}

    def _run_briefly(self) -> None:
        """A live run of a few frames; the first one loads what is loaded once, and so is
        no leak.
        """
        pictures, sink = self._pictures(), LiveNull(self.size)
        pipeline = self._pipeline(lambda _: MemorySource(pictures, _LIVE_FPS, live=True), sink)
        pipeline.run(lambda _, now: pipeline.stop() if now.frames >= 3 else None)
        assert sink.frames >= 3

    def replug(self, cycles: int) -> dict[str, Any]:
        """One live run whose camera is unplugged and found again this many times."""
        self._run_briefly()
        source = LosingSource(self._pictures(), lose_after=12)
        before, samples = Sample(), list[Sample]()
        config = PipelineConfig(retry_s=0.02, longest_retry_s=0.02)
        pipeline = self._pipeline(lambda _: source, LiveNull(self.size), config)

        def tick(_: Source, now: Snapshot) -> None:
            if source.openings >= max(1, cycles // 10) * (len(samples) + 1):
                samples.append(Sample())
                self.report(f"unplugged {source.openings} times, {samples[-1]}, {now.state}")
            if source.openings > cycles:
                pipeline.stop()

        final = pipeline.run(tick)
        return {"cycles": source.openings - 1, "frames": final.frames, **_before_after(before)}

    def bookkeeping(self, count: int) -> dict[str, Any]:
        """The bookkeeping for this many frames, without any pictures."""
        stats, slot = Stats(), Slot[int](Policy.NEWEST_WINS)
        before = Sample()
        for n in range(count):
            slot.put(n)
            slot.take()
            with stats.stage("infer"):
                pass
            stats.board.say("compose", "running")
            stats.sent(time.monotonic_ns())
        assert stats.snapshot().frames == count
        return {"frames": count, **_before_after(before)}

    def _pictures(self) -> list[Frame]:
        with make_source("demo", SourceRequest(self.size, matrix=Matrix.BT601)) as source:
            return [frame for frame in (source.read() for _ in range(8)) if frame is not None]

    def _pipeline(
        self,
        source: Callable[[SourceRequest], Source],
        sink: NullSink,
        config: PipelineConfig | None = None,
    ) -> Pipeline:
        return Pipeline(
            Parts(
                make_source=source,
                request=SourceRequest(size=self.size),
                matter=self.make_matter(),
                effects=[make_effect(self.effect)],
                sink=sink,
            ),
            config,
        )


def _before_after(before: Sample) -> dict[str, Any]:
    deadline_s = time.monotonic() + _SETTLE_S
    while (after := Sample()).threads > before.threads and time.monotonic() < deadline_s:
        time.sleep(0.01)
    return {
        "resident_mb_before_after": [before.resident_mb, after.resident_mb],
        "threads_before_after": [before.threads, after.threads],
        "descriptors_before_after": [before.descriptors, after.descriptors],
    }


def main() -> None:
    """Soak."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument(
        "--cycles", type=int, default=200, help="of starting and stopping, and of unplugging"
    )
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--effect", default="blur")
    parser.add_argument("--part", choices=_PARTS, help="only this one, into a file of its own")
    options = parser.parse_args()
    set_up_process()
    width, height = (int(text) for text in options.size.split("x"))
    soak = Soak(
        lambda: open_matter(DEFAULT_ENGINE, (), "onnxruntime", 1),
        (width, height),
        options.effect,
        lambda line: print(line, flush=True),
    )
    counts = (options.cycles, options.cycles, DAY_FRAMES, options.frames)
    report: dict[str, Any] = {
        "size": options.size,
        "effect": options.effect,
        "engine": DEFAULT_ENGINE,
    }
    for part, count in zip(_PARTS, counts, strict=True):
        if options.part in (None, part):
            report[part] = getattr(soak, part)(count)
    print(save(f"soak-{options.part}" if options.part else "soak", report))


if __name__ == "__main__":
    main()
