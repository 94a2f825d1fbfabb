"""The usual way to blur a room: MediaPipe selfie segmentation, BGR frames, GaussianBlur,
blendLinear.

A program by itself, because the `mediapipe` package brings another OpenCV than vcam: it runs in an
environment with `pip install mediapipe==0.10.21` (the last line with `mediapipe.solutions`). Prints
one JSON line.

    python benchmarks/usual_way.py talk.mp4 --sigma 15.4 --frames 300
"""

from __future__ import annotations

import argparse
import json
import time
from importlib import metadata
from typing import Any

import cv2
import numpy as np

_LANDSCAPE = 1
_KEPT_FRAMES = 60


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
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument(
        "--sigma", type=float, required=True, help="of the blur, in pixels: the same as vcam's"
    )
    parser.add_argument("--threads", type=int, default=0, help="of OpenCV; 0: its own default")
    options = parser.parse_args()
    if options.threads:
        cv2.setNumThreads(options.threads)
    import mediapipe

    frames = read_frames(options.source)
    segmenter = mediapipe.solutions.selfie_segmentation.SelfieSegmentation(
        model_selection=_LANDSCAPE
    )
    for frame in frames[:5]:
        blur_once(segmenter, frame, options.sigma)
    start = time.monotonic()
    for index in range(options.frames):
        blur_once(segmenter, frames[index % len(frames)], options.sigma)
    seconds = time.monotonic() - start
    print(
        json.dumps(
            {
                "fps": options.frames / seconds,
                "sigma_px": options.sigma,
                "opencv_threads": cv2.getNumThreads(),
                "size": [frames[0].shape[1], frames[0].shape[0]],
                "versions": {
                    name: metadata.version(name)
                    for name in ("mediapipe", "opencv-contrib-python", "numpy")
                },
            }
        )
    )


def blur_once(segmenter: Any, frame: Any, sigma: float) -> Any:
    """One frame, as tutorials do it."""
    mask = segmenter.process(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)).segmentation_mask.astype(
        np.float32
    )
    return cv2.blendLinear(frame, cv2.GaussianBlur(frame, (0, 0), sigma), mask, 1 - mask)


if __name__ == "__main__":
    main()
