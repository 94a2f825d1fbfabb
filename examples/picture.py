"""Blur the room of a picture and whiten its teeth.

    python examples/picture.py photo.jpg better.png

`vcam run` does the same and keeps EXIF, colour profile and depth.
"""

from __future__ import annotations

import sys

import cv2

import vcam


def main(source: str, target: str) -> None:
    """Read, change, write; OpenCV has blue first."""
    better = vcam.apply(vcam.read_image(source), ["blur:0.7", "teeth"])
    cv2.imwrite(target, cv2.cvtColor(better, cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main(*sys.argv[1:])
