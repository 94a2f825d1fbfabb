"""What face effects and following faces cost, in CPU time, and how steady they are, at 720p; and a
live run. Results are kept.

    python -m benchmarks.face
    python -m benchmarks.face --data DATA

With DATA, the folder with video/webcam_a, the mesh of a man who moves and talks is measured, too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.face_sheet import face_scene, open_tracker
from benchmarks.results import save
from vcam.assemble import open_networks
from vcam.catalogue import DEFAULT_ENGINE, DEFAULT_FACE_ENGINE, DEFAULT_FACE_MESH
from vcam.effects import make_effect
from vcam.effects.outlines import BROWS, EYES, LIPS_OUTER, OVAL
from vcam.effects.regions import face_height_px
from vcam.face.lose import FaceFollower
from vcam.face.mesh_tracker import FaceNetworks, MeshTracker
from vcam.face.stage import Tracker
from vcam.frame import FaceRegions, Frame
from vcam.matting.pyramid import Pyramid
from vcam.monitor import Percentiles
from vcam.process import set_up_process
from vcam.sources import make_source
from vcam.sources.base import SourceRequest

EFFECTS = (
    *("teeth", "skin", "eyes:blue", "redeye", "lips:red"),
    *("brows:brown", "blush:rose", "eyeshadow:plum", "concealer"),
)
LIVE = ("blur", "skin", "teeth", "eyes:blue")
_SIZE, _VIEW = (1280, 720), (854, 480)
"""The frame, and the part of it that the portrait fills, so that the face is more
than a quarter of the height.
"""
_FPS = 30.0
_NOISE_LEVELS = 2.0
_PARTS = {
    "lips": LIPS_OUTER,
    "eyes": sum(EYES, ()),
    "irises": (468, 473),
    "brows": sum(BROWS, ()),
    "oval": OVAL,
}
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
    """The CPU time that one effect takes on one frame."""
    scene = face_scene(frame, Pyramid.of(frame), (face,))
    durations = []
    with make_effect(text) as effect:
        for _ in range(runs):
            start_ns = time.thread_time_ns()
            effect.apply(scene)
            durations.append(time.thread_time_ns() - start_ns)
    return Percentiles.of_ns(durations[runs // 10 :])


def flicker(text: str, frame: Frame, tracker: Tracker, frames: int = 40) -> dict[str, float]:
    """How much an effect trembles on a face that keeps still, while the noise changes every frame.

    Returns:
        Mean difference between one frame's change (output minus input) and the next one's, in
        levels, where the effect changes anything, of the plane in which it is largest:
        `effect_levels`; and of the input's luma, for
        comparison: `noise_levels`.
    """
    rng = np.random.default_rng(1)
    before: list[NDArray[np.int16]] = []
    changes: list[list[NDArray[np.int16]]] = []
    follower = FaceFollower()
    with make_effect(text) as effect:
        for index in range(frames):
            noise = rng.normal(0, _NOISE_LEVELS, frame.data.shape)
            data = np.clip(frame.data + noise, 0, 255).astype(np.uint8)
            now_ns = round(index / _FPS * 1e9)
            noisy = replace(frame, data=data, index=index, t_capture_ns=now_ns, pts_ns=now_ns)
            pyramid = Pyramid.of(noisy)
            parse = tracker.follow(noisy, pyramid)
            tracker.refresh(noisy, pyramid)
            faces = follower.update(parse, noisy, pyramid, noisy.t_capture_ns)
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
    where = touched[0] if touched[0].any() else np.ones_like(touched[0])
    return {"effect_levels": max(levels), "noise_levels": trembling(before, where)}


def followed(frames: list[Frame], networks: FaceNetworks) -> dict[str, float]:
    """How steady the mesh of one face is, in pixels, and what following it costs.

    Args:
        frames: of one face that is in all of them, 30 in a second.
        networks: not opened yet.

    Returns:
        For some parts the mean absolute second difference of their points' x and y; `lag_lips` and
        `lag_eyes`, their mean distance from a centred quadratic fit to seven frames; CPU time of a
        frame, `follow_ms`, and of what is done beside it, `regions_ms`, both means; and `share`, of
        one core.
    """
    points, follow_s, regions_s = [], 0.0, 0.0
    pyramids = [Pyramid.of(frame) for frame in frames]
    with MeshTracker(networks, 1, live=True) as tracker:
        for frame, pyramid in zip(frames, pyramids, strict=True):
            start_s = time.thread_time()
            faces = tracker.follow(frame, pyramid).faces
            middle_s = time.thread_time()
            tracker.refresh(frame, pyramid)
            follow_s, regions_s = (
                follow_s + middle_s - start_s,
                regions_s + time.thread_time() - middle_s,
            )
            if faces and faces[0].regions.points is not None:
                points.append(faces[0].regions.points[:, :2])
    track = np.stack(points)
    second = np.abs(track[2:] - 2 * track[1:-1] + track[:-2]).mean(axis=(0, 2))
    weights = np.array([-2, 3, 6, 7, 6, 3, -2]) / 21  # least squares, seven points, second degree
    centred = sum(w * track[i : len(track) - 6 + i] for i, w in enumerate(weights))
    lag = np.linalg.norm(track[3:-3] - centred, axis=2).mean(axis=0)
    report = {part: float(second[list(numbers)].mean()) for part, numbers in _PARTS.items()}
    report |= {f"lag_{p}": float(lag[list(_PARTS[p])].mean()) for p in ("lips", "eyes")}
    share = (follow_s + regions_s) / len(frames) * _FPS
    each = {"follow_ms": follow_s, "regions_ms": regions_s}
    return report | {k: v * 1e3 / len(frames) for k, v in each.items()} | {"share": share}


def clip(data: Path) -> list[Frame]:
    """The frames of video/webcam_a at 720p."""
    path = str(data / "video" / "webcam_a" / "webcam_a_720p.mp4")
    frames: list[Frame] = []
    with make_source(path, SourceRequest()) as source:
        while (frame := source.read()) is not None:
            now_ns = round(len(frames) / _FPS * 1e9)
            frames.append(replace(frame, t_capture_ns=now_ns))
    return frames


def still(frame: Frame, frames: int = 40) -> list[Frame]:
    """The same frame again and again, with another noise each time."""
    rng = np.random.default_rng(1)
    return [
        replace(
            frame,
            data=np.clip(frame.data + rng.normal(0, 3, frame.data.shape), 0, 255).astype(np.uint8),
            index=i,
            t_capture_ns=round(i / _FPS * 1e9),
        )
        for i in range(frames)
    ]


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path)
    parser.add_argument("--face-engine", default=DEFAULT_FACE_ENGINE)
    parser.add_argument("--face-mesh", default=DEFAULT_FACE_MESH)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--seconds", type=int, default=40, help="of the live run")
    options = parser.parse_args()
    set_up_process()
    engines = (options.face_engine, options.face_mesh)
    frame = portrait_in_a_frame()
    with open_tracker(*engines) as tracker:
        faces = tracker.follow(frame, Pyramid.of(frame)).faces
    if not faces:
        raise SystemExit("no face is found in the demo portrait")
    face = faces[0].regions
    report: dict[str, Any] = {"face_height_px": face_height_px(face)}
    networks = open_networks(*engines, (), "onnxruntime", 1)
    if options.data:
        frames = clip(options.data)
        report["webcam_a"] = followed(frames, networks)
        report["webcam_a_still"] = followed(still(frames[len(frames) // 2]), networks)
        for name in ("webcam_a", "webcam_a_still"):
            print(name, {k: round(v, 2) for k, v in report[name].items()})
    costs = {text: asdict(time_effect(text, frame, face, options.runs)) for text in EFFECTS}
    for text, cost in costs.items():
        print(f"{text:<16} p50 {cost['p50_ms']:6.2f} ms  p95 {cost['p95_ms']:6.2f} ms")
    steadiness = {}
    for text in STEADY:
        with MeshTracker(networks, 1, live=True) as tracker:
            levels = steadiness[text] = flicker(text, frame, tracker)
        print(
            f"{text:<16} trembles by {levels['effect_levels']:.2f} levels, noise by"
            f" {levels['noise_levels']:.2f}"
        )
    report |= {"effects_720p": costs, "flicker_720p": steadiness}
    run = report["live_720p"] = live(options.seconds, engines)
    print(
        f"live run: {run['cpu']['share_of_a_core']:.2f} of a core, p95"
        f" {run['latency']['p95_ms']:.0f} ms"
    )
    print(save("face", report))


def live(seconds: int, engines: tuple[str, str]) -> dict[str, Any]:
    """A live run on the demo portrait, in a process of its own, as users start it."""
    face_engine, face_mesh = engines
    command = [sys.executable, "-m", "vcam", "bench", "--pipeline", "--json"]
    command += ["--engine", f"{DEFAULT_ENGINE}", "--size", f"{_SIZE[0]}x{_SIZE[1]}"]
    command += ["--live", f"{_FPS:.0f}", "--runs", str(round(_FPS * seconds)), "--faces", "1"]
    command += ["--face-engine", face_engine, "--face-mesh", face_mesh]
    command += [word for effect in LIVE for word in ("--effect", effect)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    report: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
    return report


if __name__ == "__main__":
    main()
