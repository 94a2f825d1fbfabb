"""What each step of one frame costs one core, by the thread's own clock: other programs and other
threads do not count.

    python -m benchmarks.stages --engine sinet_fp32 talk_720p.mp4 talk_1080p.mp4

Prints milliseconds: the median, and the least; keeps them in benchmarks/results/.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence

from benchmarks.results import save
from vcam.assemble import open_matter
from vcam.catalogue import DEFAULT_ENGINE
from vcam.effects.blend import blend_person
from vcam.effects.blur import blur_room, sigma_px
from vcam.effects.pool import FramePool
from vcam.frame import Frame, Matte
from vcam.matting.matter import Matter, small_rgb
from vcam.matting.pyramid import Pyramid
from vcam.matting.refine import RefineConfig, refine
from vcam.matting.smooth import MatteSmoother
from vcam.process import set_up_process
from vcam.sources import make_source
from vcam.sources.base import SourceRequest

_STRENGTH = 0.6
_FRAMES = 40
BESIDES = ("pyramid", "small RGB", "smoothing", "refine", "blur", "blend")


class Clock:
    """Collects the thread's time, step by step; `lap` ends the step that it names."""

    def __init__(self) -> None:
        self.times_ns: dict[str, list[int]] = {}
        self._since_ns = 0

    def start(self) -> None:
        """Begin the first step."""
        self._since_ns = time.thread_time_ns()

    def lap(self, name: str) -> None:
        """End a step and begin the next one."""
        now_ns = time.thread_time_ns()
        self.times_ns.setdefault(name, []).append(now_ns - self._since_ns)
        self._since_ns = time.thread_time_ns()

    def median_ms(self) -> dict[str, float]:
        """By step."""
        return {name: statistics.median(x) / 1e6 for name, x in self.times_ns.items()}

    def least_ms(self) -> dict[str, float]:
        """By step."""
        return {name: min(x) / 1e6 for name, x in self.times_ns.items()}


def read_frames(source: str, size: tuple[int, int] | None = None) -> list[Frame]:
    """The first frames of a source."""
    frames: list[Frame] = []
    with make_source(source, SourceRequest(size)) as opened:
        while len(frames) < _FRAMES and (frame := opened.read()) is not None:
            frames.append(frame)
    return frames


def time_stages(matter: Matter, frames: Sequence[Frame], rounds: int) -> Clock:
    """Blur every frame `rounds` times, in one thread.

    Args:
        matter: open.
        frames: of one size.
        rounds: how often.
    """
    clock, smoother, config, pool = Clock(), MatteSmoother(), RefineConfig(), FramePool()
    height, width = matter.size
    for frame in [*frames] * rounds:
        clock.start()
        pyramid = Pyramid.of(frame)
        clock.lap("pyramid")
        luma = pyramid.at_least(height, width) or frame
        chroma = pyramid.at_least(height // 2, width // 2) or frame
        image = small_rgb((luma.y, chroma.u, chroma.v), frame.matrix, (height, width))
        clock.lap("small RGB")
        alpha = matter.alpha(image)
        clock.lap("engine")
        matte = smoother.smooth(Matte(alpha), pyramid.low.y)
        clock.lap("smoothing")
        mask = refine(matte, frame.y, pyramid.low.y, config)
        clock.lap("refine")
        out = pool.like(frame)
        blur_room(pyramid.low, mask, sigma_px(_STRENGTH, frame.size[1]), out)
        clock.lap("blur")
        blend_person(frame, mask, out)
        clock.lap("blend")
    return clock


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--engine", default=DEFAULT_ENGINE)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    set_up_process()
    matter = open_matter(options.engine, (), "onnxruntime", 1)
    if not isinstance(matter, Matter):
        raise SystemExit("name one engine")
    found = []
    with matter:
        for source in options.sources:
            frames = read_frames(source)
            clock = time_stages(matter, frames, options.rounds)
            median, least = clock.median_ms(), clock.least_ms()
            found.append({"size": frames[0].size, "median_ms": median, "least_ms": least})
            print(source)
            for name, value in median.items():
                print(f"  {name:<10} {value:7.3f} {least[name]:7.3f}")
            besides = [sum(x[name] for name in BESIDES) for x in (median, least)]
            print(f"  {'besides the engine':<10} {besides[0]:7.3f} {besides[1]:7.3f}")
    print(save("stages", {"engine": options.engine, "stages": found}))


if __name__ == "__main__":
    main()
