"""CelebAMask-HQ (Lee, Liu, Wu, Luo, CVPR 2020): a mask for each part of a face, in classes of
EasyPortrait v1.

Parts are merged in the order of its own g_mask.py (switchablenorms/CelebAMask-HQ@17e6093), each
over those before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from export.data.files import lines_of, pictures_in, read_plane
from export.data.image import Image
from export.data.items import Labelled, LabelledFace
from export.data.readers.base import Entry, Reader, labelled, labelled_face, split_by
from export.data.rights import NON_COMMERCIAL
from export.errors import ExportError

_PERSON, _SKIN, _LIPS = 1, 2, 7
_L_BROW, _R_BROW, _L_EYE, _R_EYE, _MOUTH = range(101, 106)
_PAIRS = ((_L_BROW, _R_BROW, 3, 4), (_L_EYE, _R_EYE, 5, 6))
"""Two parts, and their classes on the left and on the right of the picture."""
_PARTS = {
    "skin": _SKIN,
    "nose": _SKIN,
    "eye_g": _PERSON,
    "l_eye": _L_EYE,
    "r_eye": _R_EYE,
    "l_brow": _L_BROW,
    "r_brow": _R_BROW,
    "l_ear": _PERSON,
    "r_ear": _PERSON,
    "mouth": _MOUTH,
    "u_lip": _LIPS,
    "l_lip": _LIPS,
    "hair": _PERSON,
    "hat": _PERSON,
    "ear_r": _PERSON,
    "neck_l": _PERSON,
    "neck": _PERSON,
    "cloth": _PERSON,
}
_PER_FOLDER = 2000
_FIRST_VAL, _FIRST_TEST = 162_771, 182_638
"""Numbers of CelebA's pictures at which its own validation and test parts begin
(list_eval_partition.txt).
"""


class CelebAMaskHq(Reader):
    """glasses_out: glasses are person, as in EasyPortrait; else skin. Its licence: non-commercial
    research only.

    The parts are called l_ and r_, but which side that is, the set does not say: here, what lies
    further to the left of the picture is left. The inside of the mouth has no class for teeth; it
    is not valid.
    """

    layout = (
        "CelebAMask-HQ: CelebA-HQ-img/, CelebAMask-HQ-mask-anno/, CelebA-HQ-to-CelebA-mapping.txt"
    )
    task = "face"

    def __init__(self, folder: Path, glasses_out: bool = True) -> None:
        super().__init__(folder)
        self._parts = _PARTS if glasses_out else _PARTS | {"eye_g": _SKIN}

    @classmethod
    def matches(cls, folder: Path) -> bool:
        return (folder / "CelebA-HQ-img").is_dir() and (folder / "CelebAMask-HQ-mask-anno").is_dir()

    def entries(self) -> Iterator[Entry]:
        """CelebA's own split, where the table that names its pictures is there; else by the hash of
        the number.
        """
        splits = _splits(self.folder / "CelebA-HQ-to-CelebA-mapping.txt")
        for image in sorted(pictures_in(self.folder / "CelebA-HQ-img"), key=_number):
            number = _number(image)
            part = self.folder / "CelebAMask-HQ-mask-anno" / str(number // _PER_FOLDER)
            split = splits.get(number) or split_by(image.stem)
            yield Entry(
                image.name, split, image, part / f"{number:05}_skin.png", rights=NON_COMMERCIAL
            )

    def files(self, entry: Entry, task: str) -> Sequence[Path]:
        """The picture and one of its masks; which parts there are differs."""
        return entry.image, next(
            (path for path in self._masks(entry) if path.exists()), entry.label
        )

    def person(self, entry: Entry) -> Labelled:
        return labelled(entry, np.where(self._merged(entry) > 0, 255, 0).astype(np.uint8))

    def face(self, entry: Entry) -> LabelledFace:
        merged = self._merged(entry)
        valid = (merged != _MOUTH).astype(np.uint8)
        label = np.where(merged == _MOUTH, _PERSON, merged).astype(np.uint8)
        for pair in _PAIRS:
            _name_sides(label, *pair)
        return labelled_face(entry, label, valid)

    def skin(self, entry: Entry) -> Labelled:
        """The mask "skin", which holds the parts of the face too, without what "eye_g" covers.

        Raises:
            ExportError: there is no such mask, or it cannot be read.
        """
        masks = {path.stem.partition("_")[2]: path for path in self._masks(entry)}
        face = np.where(read_plane(masks["skin"]) > 0, 255, 0).astype(np.uint8)
        if masks["eye_g"].exists():
            face[read_plane(masks["eye_g"]) > 0] = 0
        return labelled(entry, face)

    def _merged(self, entry: Entry) -> Image:
        """uint8 [H, W]; brows, eyes and the mouth have numbers of their own."""
        planes = [
            (read_plane(path), value) for path, value in self._masks(entry).items() if path.exists()
        ]
        if not planes:
            raise ExportError(f"{entry.label}: no masks of {entry.name}")
        merged = np.zeros_like(planes[0][0])
        for plane, value in planes:
            merged[plane > 0] = value
        return merged

    def _masks(self, entry: Entry) -> dict[Path, int]:
        """Where the mask of each part would be, and its value."""
        stem = entry.label.name.removesuffix("_skin.png")
        return {
            entry.label.with_name(f"{stem}_{part}.png"): value
            for part, value in self._parts.items()
        }


def _number(path: Path) -> int:
    if not path.stem.isdecimal():
        raise ExportError(f"{path}: not a picture of CelebAMask-HQ, which are called by number")
    return int(path.stem)


def _splits(path: Path) -> dict[int, str]:
    """By the number here; the table's columns are that number, CelebA's index, and CelebA's file
    name.
    """
    if not path.exists():
        return {}
    rows = [line.split() for line in lines_of(path)[1:]]
    try:
        numbers = {int(row[0]): int(Path(row[2]).stem) for row in rows}
    except (ValueError, IndexError) as error:
        raise ExportError(f"{path}: a line is not `idx orig_idx orig_file` ({error})") from error
    return {
        x: "train" if y < _FIRST_VAL else "val" if y < _FIRST_TEST else "test"
        for x, y in numbers.items()
    }


def _name_sides(label: Image, one: int, other: int, left: int, right: int) -> None:
    """Give two parts their classes by their places; a single one by that of the face's middle."""
    places = [np.flatnonzero((label == part).any(0)) for part in (one, other, _SKIN)]
    middle = [float(x.mean()) if x.size else None for x in places]
    between = middle[2] if middle[2] is not None else label.shape[1] / 2
    first = middle[0] if middle[0] is not None else between
    second = middle[1] if middle[1] is not None else between
    classes = (left, right) if first <= second else (right, left)
    for part, name in zip((one, other), classes, strict=True):
        label[label == part] = name
