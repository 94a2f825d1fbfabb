"""Two ways in which others blur a room with MediaPipe's selfie segmentation, BGR frames and OpenCV.

`tutorial`: `cv2.GaussianBlur` of a given standard deviation, then `cv2.blendLinear`.
`peer`: the steps and defaults that Linux-Fake-Background-Webcam documents: the mask is cut at a
threshold, dilated 5x5 and blurred 10x10, the room is `GaussianBlur` 21x21 with sigma 7, then
`blendLinear`. Written here from that description; camera and virtual camera are left out.

A program by itself, because the `mediapipe` package brings another OpenCV than vcam: it runs in an
environment with `pip install mediapipe==0.10.21` (the last line with `mediapipe.solutions`). Prints
one JSON line.

    python benchmarks/usual_way.py talk.mp4 --way peer --frames 300
    python benchmarks/usual_way.py talk.mp4 --way tutorial --sigma 15.4 --frames 300
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from importlib import metadata
from typing import Any

import cv2
import numpy as np

_LANDSCAPE = 1
_KEPT_FRAMES = 60

_THRESHOLD = 0.75
_DILATE, _BLUR_MASK = (5, 5), (10, 10)
_BLUR_ROOM, _SIGMA_ROOM = (21, 21), 7
"""The peer's documented defaults."""


def read_frames(path: str) -> list[Any]:
    """The first frames of a video, uint8 [H, W, 3] BGR."""
    video = cv2.VideoCapture(path)
    frames: list[Any] = []
    while len(frames) < _KEPT_FRAMES:
        good, frame = video.read()
        if not good:
            break
        frames.append(frame)
    return frames


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("source")
    parser.add_argument("--way", choices=("tutorial", "peer"), default="tutorial")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--sigma", type=float, default=15.0, help="of `tutorial`'s blur, in pixels")
    parser.add_argument("--threads", type=int, default=0, help="of OpenCV; 0: its own default")
    parser.add_argument("--live", type=float, help="frames per second; else as fast as it goes")
    options = parser.parse_args()
    if options.threads:
        cv2.setNumThreads(options.threads)
    import mediapipe

    frames = read_frames(options.source)
    segmenter = mediapipe.solutions.selfie_segmentation.SelfieSegmentation(
        model_selection=_LANDSCAPE
    )
    blur = peer if options.way == "peer" else partial(tutorial, sigma=options.sigma)
    for frame in frames[:5]:
        blur(segmenter, frame)
    seconds, cpu_s = run(partial(blur, segmenter), frames, options.frames, options.live)
    print(
        json.dumps(
            {
                "way": options.way,
                "fps": options.frames / seconds,
                "cpu_ms_per_frame": cpu_s * 1e3 / options.frames,
                "share_of_a_core": cpu_s / seconds,
                "live_fps": options.live,
                "sigma_px": _SIGMA_ROOM if options.way == "peer" else options.sigma,
                "opencv_threads": cv2.getNumThreads(),
                "size": [frames[0].shape[1], frames[0].shape[0]],
                "versions": {
                    name: metadata.version(name)
                    for name in ("mediapipe", "opencv-contrib-python", "numpy")
                },
            }
        )
    )


def run(
    blur: Callable[[Any], Any], frames: list[Any], count: int, fps: float | None
) -> tuple[float, float]:
    """Seconds, and seconds of processor time, that `count` frames took; `fps`: at that pace."""
    start, cpu_start = time.monotonic(), time.process_time()
    for index in range(count):
        if fps is not None:
            time.sleep(max(0.0, start + index / fps - time.monotonic()))
        blur(frames[index % len(frames)])
    return time.monotonic() - start, time.process_time() - cpu_start


def segment(segmenter: Any, frame: Any) -> Any:
    """The mask of a frame, float32 [H, W], 0..1."""
    found = segmenter.process(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
    return found.segmentation_mask.astype(np.float32)


def tutorial(segmenter: Any, frame: Any, sigma: float) -> Any:
    """One frame, as tutorials do it."""
    mask = segment(segmenter, frame)
    return cv2.blendLinear(frame, cv2.GaussianBlur(frame, (0, 0), sigma), mask, 1 - mask)


def peer(segmenter: Any, frame: Any) -> Any:
    """One frame, by the steps that the peer documents."""
    mask = segment(segmenter, frame)
    _, mask = cv2.threshold(mask, _THRESHOLD, 1, cv2.THRESH_BINARY)
    mask = cv2.blur(cv2.dilate(mask, np.ones(_DILATE, np.uint8)), _BLUR_MASK)
    room = cv2.GaussianBlur(frame, _BLUR_ROOM, _SIGMA_ROOM)
    return cv2.blendLinear(frame, room, mask, 1 - mask)


if __name__ == "__main__":
    main()
