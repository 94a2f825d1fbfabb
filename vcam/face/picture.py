"""All classes of a single picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam.face.finder import FaceFinder, padded_frame
from vcam.face.parse import RegionParser
from vcam.face.parser import Parser
from vcam.face.tracker import FaceTracker, windows
from vcam.frame import FaceClass
from vcam.matting.pyramid import Pyramid

_FACES = 16


def picture_probs(
    parser: Parser, finder: FaceFinder, image: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Parse a single picture, as a whole and again around each face.

    Args:
        parser: open.
        finder: open; faces that it misses are searched for in the parse of the whole.
        image: uint8 [H, W, 3] RGB.

    Returns:
        uint8 [C, H, W], a plane per FaceClass, at the picture's size.

    Raises:
        EngineError: the engine failed.
    """
    frame = padded_frame(image)
    pyramid = Pyramid.of(frame)
    out = np.zeros((len(FaceClass), *image.shape[:2]), np.uint8)
    for window in reversed(windows(frame.size)):
        probs = parser.parse(frame, pyramid, window)
        _lay(probs, window.to_frame(probs.shape[2]), out)
    tracker = FaceTracker(parser, _FACES, live=False)
    for face in reversed(tracker.follow(frame, pyramid).faces):
        _lay(face.regions.probs, face.regions.to_frame, out)
    regions = RegionParser(parser)
    for fit in reversed(finder.meshes(frame, pyramid)):
        parsed = regions.parse(frame, pyramid, fit.points, None).regions
        _lay(parsed.probs, parsed.to_frame, out)
    return out


def _lay(probs: NDArray[np.uint8], to_frame: NDArray[np.float64], out: NDArray[np.uint8]) -> None:
    """Write a parse over the existing planes where it has any class."""
    matrix = to_frame.copy()
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    size = (out.shape[2], out.shape[1])
    told = np.where(probs.sum(axis=0, dtype=np.int32) > 127, 255, 0).astype(np.uint8)
    place = np.asarray(cv2.warpAffine(told, matrix, size, flags=cv2.INTER_NEAREST), np.uint8)
    for plane, target in zip(probs, out, strict=True):
        full = cv2.warpAffine(
            plane, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        cv2.copyTo(full, place, target)
