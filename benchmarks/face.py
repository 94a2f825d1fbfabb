"""What face effects cost: each by itself at 720p, and a live run with the time of every stage; results are kept.

python -m benchmarks.face --face-engine portraitnet_face_fp32
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

from benchmarks.face_sheet import find_face
from benchmarks.results import save
from vcam.catalogue import DEFAULT_ENGINE, DEFAULT_FACE_ENGINE
from vcam.effects import make_effect
from vcam.effects.base import Scene
from vcam.effects.pyramid import Pyramid
from vcam.effects.refine import Mask
from vcam.effects.regions import face_height_px
from vcam.frame import FaceRegions, Frame
from vcam.session import BenchRequest, open_parser, run_engine_bench, run_pipeline_bench
from vcam.sources import make_source
from vcam.sources.base import SourceRequest
from vcam.stats import Percentiles

EFFECTS = ("teeth", "skin", "eyes:blue", "redeye", "lips:red")
LIVE = ("blur", "skin", "teeth", "eyes:blue")
_SIZE, _VIEW = (1280, 720), (854, 480)
"""The frame, and the part of it that the portrait fills, so that the face is a third of the height."""
_FPS = 30.0


def third_of_the_height() -> Frame:
    """The demo portrait in the middle of a 720p frame."""
    with make_source("demo", SourceRequest(_VIEW)) as source:
        small = source.read()
    assert small is not None
    frame = Frame.empty(_SIZE, small.matrix)
    for plane, target in zip(small.planes, frame.planes, strict=True):
        down, across = target.shape[0] - plane.shape[0], target.shape[1] - plane.shape[1]
        edges = (down // 2, down - down // 2, across // 2, across - across // 2)
        target[:] = cv2.copyMakeBorder(plane, *edges, cv2.BORDER_REPLICATE)
    return frame


def time_effect(text: str, frame: Frame, face: FaceRegions, runs: int) -> Percentiles:
    """How long one effect takes on one frame."""
    low = Pyramid.of(frame).low
    scene = Scene(frame, low, Mask((), np.zeros(low.y.shape, np.float32)), 0, faces=(face,))
    durations = []
    with make_effect(text) as effect:
        for _ in range(runs):
            start_ns = time.monotonic_ns()
            effect.apply(scene)
            durations.append(time.monotonic_ns() - start_ns)
    return Percentiles.of_ns(durations[runs // 10 :])


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--face-engine", default=DEFAULT_FACE_ENGINE)
    parser.add_argument("--engines", type=Path, action="append", default=[])
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--seconds", type=int, default=40)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    engines = tuple(options.engines)
    frame = third_of_the_height()
    with open_parser(options.face_engine, engines, "onnxruntime", 1) as engine:
        face = find_face(frame, engine)
    if face is None:
        raise SystemExit(f"{options.face_engine} finds no face in the demo portrait")
    costs = {text: asdict(time_effect(text, frame, face, options.runs)) for text in EFFECTS}
    for text, cost in costs.items():
        print(f"{text:<12} p50 {cost['p50_ms']:6.2f} ms  p95 {cost['p95_ms']:6.2f} ms")
    alone = BenchRequest(options.face_engine, engines, "onnxruntime", 1, options.runs)
    frames = round(_FPS * options.seconds)
    live = BenchRequest(
        DEFAULT_ENGINE, engines, "onnxruntime", 1, frames, LIVE, "demo", _SIZE, _FPS, options.face_engine, 1
    )
    report = {
        "face_height_px": face_height_px(face),
        "effects_720p": costs,
        "face_engine": run_engine_bench(alone),
        "live_720p": run_pipeline_bench(live, lambda _: None),
    }
    for stage, times in report["live_720p"]["stages"].items():  # type: ignore[index]
        print(f"{stage:<12} p50 {times['p50_ms']:6.2f} ms  p95 {times['p95_ms']:6.2f} ms")
    print(save("face", report))


if __name__ == "__main__":
    main()
