"""Many frames through the whole pipeline at full speed: does memory stay flat, do threads and descriptors go?

    python -m benchmarks.soak --frames 20000

Prints the resident set as it goes; the result goes to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import threading
from pathlib import Path

import cv2

from benchmarks.results import save
from vcam.catalogue import DEFAULT_ENGINE
from vcam.effects import make_effect
from vcam.effects.composer import Composer
from vcam.effects.refine import RefineConfig
from vcam.machine import resident_bytes
from vcam.pipeline import Pipeline, PipelineConfig
from vcam.session import open_matter
from vcam.sinks import SinkRequest, make_sink
from vcam.sources import make_source
from vcam.sources.base import Source, SourceRequest
from vcam.stats import Snapshot, Stats

_EVERY = 1000


def _descriptors() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def main() -> None:
    """Soak."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--effect", default="blur")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    stats, samples = Stats(), list[tuple[int, float]]()
    before = (threading.active_count(), _descriptors())

    def tick(_: Source, now: Snapshot) -> None:
        if now.frames >= _EVERY * (len(samples) + 1):
            samples.append((now.frames, resident_bytes() / 2**20))
            print(f"{now.frames} frames, {samples[-1][1]:.1f} MB, {now.fps:.0f} fps", flush=True)

    pipeline = Pipeline(
        lambda request: make_source("demo", request),
        SourceRequest(size=(1280, 720)),
        open_matter(DEFAULT_ENGINE, (), "onnxruntime", 1),
        lambda transparent, live: Composer(
            [make_effect(options.effect)], RefineConfig(), stats, transparent=transparent, live=live
        ),
        make_sink("null", SinkRequest()),
        stats,
        PipelineConfig(max_frames=options.frames),
    )
    final = pipeline.run(tick)
    after = (threading.active_count(), _descriptors())
    half = samples[len(samples) // 2 :]
    report = {
        "frames": final.frames,
        "effect": options.effect,
        "resident_mb": samples,
        "growth_mb_in_second_half": half[-1][1] - half[0][1] if half else None,
        "threads_before_after": [before[0], after[0]],
        "descriptors_before_after": [before[1], after[1]],
    }
    print(save("soak", report))


if __name__ == "__main__":
    main()
