"""What face effects cost and how steady they are: each by itself at 720p, and a live run; results
are kept.

python -m benchmarks.face --face-engine portraitnet_face_fp32
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.face_sheet import face_scene, find_face
from benchmarks.results import save
from vcam.assemble import open_parser
from vcam.bench.requests import BenchRequest, run_engine_bench, run_pipeline_bench
from vcam.catalogue import DEFAULT_ENGINE, DEFAULT_FACE_ENGINE
from vcam.effects import make_effect
from vcam.effects.regions import face_height_px
from vcam.face.lose import FaceFollower
from vcam.face.parser import Parser
from vcam.face.tracker import FaceParse, FaceTracker
from vcam.frame import FaceRegions, Frame
from vcam.matting.pyramid import Pyramid
from vcam.monitor import Percentiles
from vcam.sources import make_source
from vcam.sources.base import SourceRequest

EFFECTS = ("teeth", "skin", "eyes:blue", "redeye", "lips:red")
LIVE = ("blur", "skin", "teeth", "eyes:blue")
_SIZE, _VIEW = (1280, 720), (854, 480)
"""The frame, and the part of it that the portrait fills, so that the face is more than a quarter of
the height.
"""
_FPS = 30.0
_NOISE_LEVELS = 2.0
STEADY = tuple(text for text in EFFECTS if text != "redeye")


def portrait_in_a_frame() -> Frame:
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
    scene = face_scene(frame, Pyramid.of(frame), (face,))
    durations = []
    with make_effect(text) as effect:
        for _ in range(runs):
            start_ns = time.monotonic_ns()
            effect.apply(scene)
            durations.append(time.monotonic_ns() - start_ns)
    return Percentiles.of_ns(durations[runs // 10 :])


def flicker(text: str, frame: Frame, engine: Parser, frames: int = 40) -> dict[str, float]:
    """How much an effect trembles on a face that keeps still, while the sensor's noise changes
    every frame.

    As live on two cores: every second frame is parsed, and its parse is carried along to the next
    one.

    Returns:
        Mean difference between one frame's change (output minus input) and the next one's, in
        levels, where the effect changes anything, of the plane in which it is largest:
        `effect_levels`; and of the input's luma, for
        comparison: `noise_levels`.
    """
    rng = np.random.default_rng(1)
    before: list[NDArray[np.int16]] = []
    changes: list[list[NDArray[np.int16]]] = []
    tracker, follower = FaceTracker(engine, 1, live=False), FaceFollower()
    parse: FaceParse | None = None
    with make_effect(text) as effect:
        for index in range(frames):
            noise = rng.normal(0, _NOISE_LEVELS, frame.data.shape)
            data = np.clip(frame.data + noise, 0, 255).astype(np.uint8)
            noisy = replace(frame, data=data, index=index, pts_ns=round(index / _FPS * 1e9))
            pyramid = Pyramid.of(noisy)
            parse = tracker.follow(noisy, pyramid) if index % 2 == 0 else parse
            faces = follower.update(parse, noisy, pyramid, noisy.pts_ns)
            after = effect.apply(face_scene(noisy, pyramid, faces))
            before.append(noisy.y.astype(np.int16))
            changes.append(
                [b.astype(np.int16) - a for a, b in zip(noisy.planes, after.planes, strict=True)]
            )

    def trembling(planes: list[NDArray[np.int16]], where: NDArray[np.bool_]) -> float:
        return float(np.abs(np.diff(np.stack([plane[where] for plane in planes]), axis=0)).mean())

    of_planes = [list(planes) for planes in zip(*changes, strict=True)]
    touched = [np.any(planes, axis=0) for planes in of_planes]
    levels = [
        trembling(planes, where)
        for planes, where in zip(of_planes, touched, strict=True)
        if where.any()
    ]
    return {"effect_levels": max(levels), "noise_levels": trembling(before, touched[0])}


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--face-engine", default=DEFAULT_FACE_ENGINE)
    parser.add_argument("--engines", type=Path, action="append", default=[])
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--seconds", type=int, default=40)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    engines = tuple(options.engines)
    frame = portrait_in_a_frame()
    with open_parser(options.face_engine, engines, "onnxruntime", 1) as engine:
        face = find_face(frame, engine)
        if face is None:
            raise SystemExit(f"{options.face_engine} finds no face in the demo portrait")
        steadiness = {text: flicker(text, frame, engine) for text in STEADY}
    for text, levels in steadiness.items():
        print(
            f"{text:<12} trembles by {levels['effect_levels']:.2f} levels, noise by"
            f" {levels['noise_levels']:.2f}"
        )
    costs = {text: asdict(time_effect(text, frame, face, options.runs)) for text in EFFECTS}
    for text, cost in costs.items():
        print(f"{text:<12} p50 {cost['p50_ms']:6.2f} ms  p95 {cost['p95_ms']:6.2f} ms")
    alone = BenchRequest(options.face_engine, engines, "onnxruntime", 1, options.runs)
    frames = round(_FPS * options.seconds)
    live = BenchRequest(
        DEFAULT_ENGINE,
        engines,
        "onnxruntime",
        1,
        frames,
        LIVE,
        "demo",
        _SIZE,
        _FPS,
        options.face_engine,
        faces=1,
    )
    report = {
        "face_height_px": face_height_px(face),
        "effects_720p": costs,
        "flicker_720p": steadiness,
        "face_engine": run_engine_bench(alone),
        "live_720p": run_pipeline_bench(live, lambda _: None),
    }
    for stage, times in report["live_720p"]["stages"].items():  # type: ignore[index]
        print(f"{stage:<12} p50 {times['p50_ms']:6.2f} ms  p95 {times['p95_ms']:6.2f} ms")
    print(save("face", report))


if __name__ == "__main__":
    main()
