"""Sheets to look at: faces before and after each effect, weak, medium and full.

    python -m benchmarks.face_sheet DATA OUT
    python -m benchmarks.face_sheet DATA OUT --face-engine portraitnet_face_fp32

DATA is the folder with face/real and face/avatars, OUT a folder for one PNG per effect. Without an
engine the labels of the data set stand in for the parse, so the effects are judged by themselves.
Nobody in the data has red pupils; for `redeye` they are painted.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vcam.assemble import open_parser
from vcam.colour import from_rgb, to_rgb
from vcam.effects import make_effect
from vcam.effects.base import Scene
from vcam.effects.eyes import EYES, find_iris
from vcam.effects.regions import region_box, region_mask
from vcam.face.fake import KnownFaces
from vcam.face.parser import Parser
from vcam.face.tracker import FaceTracker
from vcam.frame import FaceClass, FaceRegions, Frame, Matrix
from vcam.matting.pyramid import Pyramid
from vcam.matting.refine import Mask
from vcam.sources import make_source
from vcam.sources.base import SourceRequest
from vcam.sources.fit import pad_to_even
from vcam.sources.image import read_image

FACE = tuple(FaceClass)[FaceClass.SKIN :]
EFFECTS: dict[str, tuple[tuple[str, ...], tuple[FaceClass, ...]]] = {
    "teeth": (("teeth:0.3", "teeth:0.5", "teeth:1"), (FaceClass.LIPS, FaceClass.TEETH)),
    "skin": (("skin:0.3", "skin:0.5", "skin:1"), FACE),
    "eyes": (("eyes:blue,strength=0.4", "eyes:green", "eyes:blue,strength=1"), EYES),
    "redeye": (("redeye:0.3", "redeye:0.6", "redeye:1"), EYES),
    "lips": (
        ("lips:rose,strength=0.3", "lips:red", "lips:red,strength=1"),
        (FaceClass.LIPS, FaceClass.TEETH),
    ),
}
PICTURES = (
    # light and dark skin, men and women, smiling with and without teeth
    *(
        f"real/images/london_{n}_smile"
        for n in ("002", "009", "016", "020", "043", "064", "096", "099", "107", "129")
    ),
    # beards, glasses, wrinkles, small pictures
    *(f"real/images/congress_{n}" for n in ("A000360", "C000714", "F000449", "W000738", "S001045")),
    # turned heads, open mouths, closing lids
    *(
        f"avatars/images/{n}"
        for n in (
            "AIAN_F_2_07",
            "Asian_M_1_20",
            "Black_F_2_26",
            "MENA_F_2_03",
            "MENA_F_2_10",
            "White_F_1_09",
        )
    ),
)
_CELL_PX = 320
_RED_PUPIL = (214, 42, 38)


def read_face(data: Path, name: str, parser: Parser | None) -> tuple[Frame, FaceRegions | None]:
    """A picture and its largest face, by the parser or by the labels beside the picture."""
    path = data / "face" / f"{name}.jpg"
    frame = from_rgb(pad_to_even(read_image(path)), Matrix.BT601)
    if parser is None:
        labels = cv2.imread(
            str(path).replace("images", "labels").replace(".jpg", ".png"), cv2.IMREAD_GRAYSCALE
        )
        assert labels is not None
        return frame, find_face(frame, KnownFaces(lambda _: np.asarray(labels, np.uint8)))
    return frame, find_face(frame, parser)


def find_face(frame: Frame, parser: Parser) -> FaceRegions | None:
    """The largest face of a picture."""
    faces = FaceTracker(parser, 1, live=False).follow(frame, Pyramid.of(frame)).faces
    return faces[0].regions if faces else None


def face_scene(frame: Frame, pyramid: Pyramid, faces: tuple[FaceRegions, ...]) -> Scene:
    """A frame with its faces, for effects that look at nothing else."""
    low = pyramid.low
    return Scene(
        frame, low, Mask.nobody(np.zeros(low.y.shape, np.uint8)), frame.pts_ns, faces=faces
    )


def row(
    frame: Frame, face: FaceRegions, texts: tuple[str, ...], classes: tuple[FaceClass, ...]
) -> NDArray[np.uint8]:
    """One face before and after each of some effects, cut to the region: uint8 [h, w, 3] RGB."""
    scene = face_scene(frame, Pyramid.of(frame), (face,))
    box = region_box(face, classes, frame.size, margin=0.15)
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
    picture = to_rgb(frame)
    for eye in EYES:
        box = region_box(face, [eye], frame.size, margin=0.1)
        iris = find_iris(box.of(frame.y), region_mask(face, [eye], box)) if box else None
        if box is not None and iris is not None:
            place = (
                round((box.left + iris.x) * 16),
                round((box.top + iris.y) * 16),
            )  # in sixteenths of a pixel
            cv2.circle(
                picture, place, round(0.55 * iris.radius * 16), _RED_PUPIL, -1, cv2.LINE_AA, 4
            )
    return from_rgb(picture, frame.matrix)


def demo_frame() -> Frame:
    """The demo portrait at 720p."""
    with make_source("demo", SourceRequest((1280, 720))) as source:
        frame = source.read()
    assert frame is not None
    return frame


def main() -> None:
    """Draw a sheet per effect."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--face-engine")
    parser.add_argument("--engines", type=Path, action="append", default=[])
    options = parser.parse_args()
    cv2.setNumThreads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.face_engine:
        with open_parser(options.face_engine, tuple(options.engines), "onnxruntime", 1) as engine:
            faces = [read_face(options.data, name, engine) for name in PICTURES]
            demo = demo_frame()
            faces.append((demo, find_face(demo, engine)))
    else:
        faces = [read_face(options.data, name, None) for name in PICTURES]
    found = [(frame, face) for frame, face in faces if face is not None]
    print(f"{len(found)} faces in {len(faces)} pictures")
    for name, (texts, classes) in EFFECTS.items():
        pairs = [(reddened(*pair) if name == "redeye" else pair[0], pair[1]) for pair in found]
        rows = [row(frame, face, texts, classes) for frame, face in pairs]
        cv2.imwrite(
            str(options.out / f"{name}.png"), cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR)
        )


if __name__ == "__main__":
    main()
