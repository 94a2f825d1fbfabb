"""What `--save-power` saves, and what it does to the mask: against the engine on every frame.

    python -m benchmarks.sparing --engine sinet_fp32 talk_720p.mp4

Of the refined masks at full size, in order: IoU of each frame's mask with the one of every frame
computed, flicker (mean change of alpha from one frame to the next), and how far the change from
frame to frame differs between the two (dtSSD: Erofeev and others, BMVC 2015), which a mask that
trails would raise.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.results import save
from vcam.assemble import open_matter
from vcam.catalogue import DEFAULT_ENGINE
from vcam.frame import Frame, Plane
from vcam.matting.matter import MatteEngine
from vcam.matting.pyramid import Pyramid
from vcam.matting.refine import RefineConfig, refine
from vcam.matting.smooth import MatteSmoother
from vcam.matting.sparing import SparingMatter
from vcam.process import set_up_process
from vcam.sources import make_source
from vcam.sources.base import SourceRequest

Change = NDArray[np.float32]


def read_frames(source: str) -> list[Frame]:
    """All frames of a source."""
    frames: list[Frame] = []
    with make_source(source, SourceRequest()) as opened:
        while (frame := opened.read()) is not None:
            frames.append(frame)
    return frames


def still(frame: Frame, count: int = 90) -> list[Frame]:
    """A picture that stands still, with a sensor's noise of two levels, new in every frame."""
    rng = np.random.default_rng(1)
    return [
        replace(
            frame,
            data=np.asarray(
                cv2.add(frame.data, rng.normal(0, 2, frame.data.shape), dtype=cv2.CV_8U), np.uint8
            ),
        )
        for _ in range(count)
    ]


class Counting:
    """A `MatteEngine` that counts its runs."""

    def __init__(self, engine: MatteEngine) -> None:
        self._engine, self.runs = engine, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def matte(self, frame: Frame, pyramid: Pyramid) -> Any:
        """See `MatteEngine`."""
        self.runs += 1
        return self._engine.matte(frame, pyramid)


def masks(engine: Any, frames: Sequence[Frame]) -> list[Plane]:
    """The refined alpha uint8 [H, W] of every frame. engine: open."""
    engine.reset()
    smoother, found = MatteSmoother(), []
    for frame in frames:
        pyramid = Pyramid.of(frame)
        matte = smoother.smooth(engine.matte(frame, pyramid), pyramid.low.y)
        found.append(refine(matte, frame.y, pyramid.low.y, RefineConfig()).full(frame.size))
    return found


def changes(planes: Sequence[Plane]) -> Iterator[Change]:
    """From each plane to the next, -1..1."""
    for before, after in itertools.pairwise(planes):
        yield cv2.subtract(after, before, dtype=cv2.CV_32F) / np.float32(255)


def iou(one: Plane, other: Plane) -> float:
    """Of the pixels that are more person than room."""
    first, second = one > 127, other > 127
    union = float((first | second).sum())
    return float((first & second).sum()) / union if union else 1.0


def measure(engine: MatteEngine, frames: Sequence[Frame]) -> dict[str, float]:
    """Every frame against `SparingMatter`. engine: open."""
    counting = Counting(engine)
    every = masks(engine, frames)
    spared = masks(SparingMatter(counting), frames)
    overlaps = [iou(a, b) for a, b in zip(every, spared, strict=True)]
    flicker, flicker_spared, apart = [], [], []
    for one, other in zip(changes(every), changes(spared), strict=True):
        flicker.append(float(np.abs(one).mean()))
        flicker_spared.append(float(np.abs(other).mean()))
        apart.append(float(np.sqrt(((one - other) ** 2).mean())))
    return {
        "frames": len(frames),
        "engine_runs": counting.runs,
        "iou_mean": statistics.fmean(overlaps),
        "iou_worst": min(overlaps),
        "flicker_every_frame": statistics.fmean(flicker),
        "flicker_spared": statistics.fmean(flicker_spared),
        "dtssd": statistics.fmean(apart),
    }


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--engine", default=DEFAULT_ENGINE)
    options = parser.parse_args()
    set_up_process()
    rows = []
    with open_matter(options.engine, (), "onnxruntime", 1) as engine:
        for source in options.sources:
            frames = read_frames(source)
            name = source.rpartition("/")[2]
            for what, clip in (
                (name, frames),
                (f"{name}, its first frame still", still(frames[0])),
            ):
                rows.append({"source": what, **measure(engine, clip)})
                print(rows[-1])
    print(save("sparing", {"engine": options.engine, "clips": rows}))


if __name__ == "__main__":
    main()
