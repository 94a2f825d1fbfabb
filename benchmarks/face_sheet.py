"""Sheets to look at: forty faces before and after each effect, weak, medium and full.

    python -m benchmarks.face_sheet DATA OUT
    python -m benchmarks.face_sheet DATA OUT --face-mesh none

DATA is the folder with face/real, face/avatars and face/celebamask, OUT a folder for the PNGs, ten
faces in each. The faces go through the whole search, as a user's photographs do; `--face-mesh none`
leaves them to the parser. Nobody in the data has red pupils; for `redeye` they are painted.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam.assemble import open_networks, open_parser
from vcam.catalogue import DEFAULT_FACE_ENGINE, DEFAULT_FACE_MESH, NO_MESH
from vcam.colour import from_rgb, to_rgb
from vcam.effects import make_effect
from vcam.effects.areas import box_around, iris_circle
from vcam.effects.base import Scene
from vcam.effects.outlines import BROWS, EYES, LIPS_OUTER, OVAL, outline
from vcam.effects.regions import region_box
from vcam.face.mesh_tracker import MeshTracker
from vcam.face.stage import Tracker
from vcam.face.tracker import FaceTracker
from vcam.frame import FaceClass, FaceRegions, Frame, Matrix
from vcam.geometry import Box
from vcam.matting.pyramid import Pyramid
from vcam.matting.refine import Mask
from vcam.pictures import pad_to_even
from vcam.sources import make_source
from vcam.sources.base import SourceRequest
from vcam.sources.image import read_image

_MOUTH, _EYES, _LIDS, _FACE = (
    LIPS_OUTER,
    sum(EYES, ()),
    sum((*EYES, *BROWS), ()),
    OVAL,
)
EFFECTS: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {
    "teeth": (("teeth:0.3", "teeth:0.5", "teeth:1"), _MOUTH),
    "skin": (("skin:0.3", "skin:0.5", "skin:1"), _FACE),
    "eyes": (("eyes:blue,strength=0.4", "eyes:green", "eyes:blue,strength=1"), _EYES),
    "redeye": (("redeye:0.3", "redeye:0.6", "redeye:1"), _EYES),
    "lips": (("lips:rose,strength=0.3", "lips:red", "lips:red,strength=1"), _MOUTH),
    "brows": (("brows:brown", "brows:black", "brows:black,strength=1"), _LIDS),
    "blush": (("blush:peach", "blush:rose", "blush:rose,strength=1"), _FACE),
    "eyeshadow": (("eyeshadow:bronze", "eyeshadow:plum", "eyeshadow:blue,strength=1"), _LIDS),
    "concealer": (("concealer:0.3", "concealer:0.5", "concealer:1"), _LIDS),
}
"""The strengths that are shown, and the points around which the pictures are cut."""
PICTURES = (
    # light and dark skin, men and women, smiling with and without teeth
    *(
        f"real/images/london_{n}_smile"
        for n in ("002", "009", "016", "020", "043", "064", "096", "099", "107", "129")
    ),
    # glasses, wrinkles, small pictures
    *(f"real/images/congress_{n}" for n in ("A000360", "C000714", "F000449", "W000738", "S001045")),
    # turned heads, open mouths, closing lids
    *(
        f"avatars/images/{n}"
        for n in ("Asian_M_1_20", "Black_F_2_26", "MENA_F_2_03", "MENA_F_2_10")
    ),
    # beards, glasses, a hand or hair before the face, turned heads, odd light
    *(
        f"celebamask/images/celeb_{n}"
        for n in (
            *("0267e362a3dc", "135195dc7161", "226409ec0e53", "299cf1a0e3be", "305036b017c3"),
            *("30f2a51e8690", "38a538927e1d", "43ce9eeb5754", "5952706da64c", "5faac8c794a7"),
            *("85e1ffcb8fbd", "8992cf425786", "9e25736fd45f", "a673c7bb8d80", "b32ee36f635a"),
            *("b570ce84e55d", "d4ea0635363e", "e0026decddaf", "f99f3b1f2bfb", "fab4db251888"),
        )
    ),
)
_ROWS = 10
_CELL_PX = 320
_RED_PUPIL = (214, 42, 38)


def read_picture(data: Path, name: str) -> Frame:
    """A picture of the data as a frame."""
    return from_rgb(pad_to_even(read_image(data / "face" / f"{name}.jpg")), Matrix.BT601)


def open_tracker(face_engine: str, face_mesh: str, limit: int = 1) -> Tracker:
    """What finds faces in single pictures, not opened yet."""
    if face_mesh == NO_MESH:
        return FaceTracker(open_parser(face_engine, (), "onnxruntime", 1), limit, live=False)
    networks = open_networks(face_engine, face_mesh, (), "onnxruntime", 1)
    return MeshTracker(networks, limit, live=False)


def face_scene(frame: Frame, pyramid: Pyramid, faces: tuple[FaceRegions, ...]) -> Scene:
    """A frame with its faces, for effects that look at nothing else."""
    low = pyramid.low
    return Scene(frame, low, Mask.nobody(np.zeros_like(low.y)), frame.pts_ns, faces=faces)


def _box(face: FaceRegions, numbers: tuple[int, ...], frame: Frame) -> Box | None:
    if face.points is None:
        return region_box(face, tuple(FaceClass)[FaceClass.SKIN :], frame.size)
    corners = outline(face.points, numbers)
    return box_around(corners, frame.size, 0.2 * float(np.ptp(corners, axis=0).max()))


def row(
    frame: Frame, face: FaceRegions, texts: tuple[str, ...], numbers: tuple[int, ...]
) -> NDArray[np.uint8]:
    """One face before and after each of some effects, cut to a part: uint8 [h, w, 3] RGB."""
    scene = face_scene(frame, Pyramid.of(frame), (face,))
    box = _box(face, numbers, frame)
    shown = [frame, *(make_effect(text).apply(scene) for text in texts)]
    cells = [box.of(to_rgb(picture)) if box else to_rgb(picture) for picture in shown]
    size = (_CELL_PX, max(1, round(_CELL_PX * cells[0].shape[0] / cells[0].shape[1])))
    return np.hstack(
        [
            np.asarray(cv2.resize(cell, size, interpolation=cv2.INTER_CUBIC), np.uint8)
            for cell in cells
        ]
    )


def reddened(frame: Frame, face: FaceRegions) -> Frame:
    """The same face as a flash shows it: red discs for pupils."""
    if face.points is None:
        return frame
    picture = to_rgb(frame)
    for side in (0, 1):
        x, y, radius = iris_circle(face.points, side)
        place = (round((x - 0.5) * 16), round((y - 0.5) * 16))  # in sixteenths of a pixel
        cv2.circle(picture, place, round(0.55 * radius * 16), _RED_PUPIL, -1, cv2.LINE_AA, 4)
    return from_rgb(picture, frame.matrix)


def demo_frame() -> Frame:
    """The demo portrait at 720p."""
    with make_source("demo", SourceRequest((1280, 720))) as source:
        frame = source.read()
    assert frame is not None
    return frame


def main() -> None:
    """Draw the sheets of each effect."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--face-engine", default=DEFAULT_FACE_ENGINE)
    parser.add_argument("--face-mesh", default=DEFAULT_FACE_MESH)
    parser.add_argument("--effects", nargs="*", default=list(EFFECTS))
    options = parser.parse_args()
    cv2.setNumThreads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    found = []
    frames = [*(read_picture(options.data, name) for name in PICTURES), demo_frame()]
    for frame in frames:
        with open_tracker(options.face_engine, options.face_mesh) as tracker:
            faces = tracker.follow(frame, Pyramid.of(frame)).faces
        found += [(frame, face.regions) for face in faces]
    print(f"{len(found)} faces in {len(frames)} pictures")
    for name in options.effects:
        texts, numbers = EFFECTS[name]
        pairs = [(reddened(*pair) if name == "redeye" else pair[0], pair[1]) for pair in found]
        rows = [row(frame, face, texts, numbers) for frame, face in pairs]
        for start in range(0, len(rows), _ROWS):
            sheet = cv2.cvtColor(np.vstack(rows[start : start + _ROWS]), cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(options.out / f"{name}_{start // _ROWS + 1}.png"), sheet)


if __name__ == "__main__":
    main()
