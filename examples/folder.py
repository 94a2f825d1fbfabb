"""Write the mask of every picture of a folder, with one engine for all of them.

python examples/folder.py holiday masks
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2

import vcam


def main(source: str, target: str) -> None:
    """One grey PNG per picture: 0 room .. 255 person."""
    Path(target).mkdir(exist_ok=True)
    with vcam.open_engine("sinet") as engine:
        for path in sorted(Path(source).iterdir()):
            try:
                picture = vcam.read_image(path)
            except vcam.SourceError as error:
                print(error)
                continue
            cv2.imwrite(str(Path(target, f"{path.stem}.png")), engine.alpha(picture))


if __name__ == "__main__":
    main(*sys.argv[1:])
