"""Sets of people with masks: EG1800, Supervise-Portrait, and plain folders.

Layouts as the code of PortraitNet reads them (dong-x16/PortraitNet@5033db1, data/datasets_portraitseg.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from export.data.augment import Image
from export.data.person import Labelled
from export.data.readers.base import SPLITS, Entry, Reader, labelled, lines_of, pictures_in, read_plane, split_by

_HALF = 128


class Eg1800(Reader):
    """Shen et al., Eurographics 2016. A mask has 1 (or, in some copies, 255) where a person is."""

    layout = "EG1800: Images/, Labels/, eg1800_train.txt, eg1800_test.txt"

    @classmethod
    def matches(cls, folder: Path) -> bool:
        return all((folder / x).exists() for x in ("Images", "Labels", "eg1800_train.txt", "eg1800_test.txt"))

    def entries(self) -> Iterator[Entry]:
        for split in ("train", "test"):
            for name in lines_of(self.folder / f"eg1800_{split}.txt"):
                label = (self.folder / "Labels" / name).with_suffix(".png")
                yield Entry(name, split, self.folder / "Images" / name, label, identity=name)

    def person(self, entry: Entry) -> Labelled:
        plane = read_plane(entry.label)
        return labelled(entry, _alpha(plane >= _HALF if plane.max() >= _HALF else plane == 1))


class SupervisePortrait(Reader):
    """Portraits of the Supervisely Person set, chosen for PortraitNet. A mask has 0 where nobody is.

    The lists name `Supervisely_face/<part>/img/<file>`, beside which `<part>/ann/<file>` is the mask.
    """

    layout = "Supervise-Portrait: supervisely_face_{train,test}_{easy,difficult}.txt, */img/, */ann/"

    @classmethod
    def matches(cls, folder: Path) -> bool:
        return any(folder.glob("supervisely_face_*.txt"))

    def entries(self) -> Iterator[Entry]:
        for path in sorted(self.folder.glob("supervisely_face_*.txt")):
            split = "test" if "_test_" in path.name else "train"
            for name in lines_of(path):
                image = self.folder / name
                if not image.exists():
                    image = self.folder.joinpath(*Path(name).parts[1:])
                label = image.parent.parent / "ann" / image.name
                yield Entry(name, split, image, label, identity=name, notes=path.stem.rpartition("_")[2])

    def person(self, entry: Entry) -> Labelled:
        return labelled(entry, _alpha(read_plane(entry.label) > 0))


class PlainFolder(Reader):
    """Any pictures with masks of the same name: alpha 0..255, or 0 and 1.

    `images/` and `masks/` lie in the folder, or in train/, val/ and test/ of it; without those, a hash splits.
    """

    layout = "plain: images/ and masks/ (PNG, same names), also inside train/, val/, test/"

    @classmethod
    def matches(cls, folder: Path) -> bool:
        return bool(_parts(folder))

    def entries(self) -> Iterator[Entry]:
        for part, split in _parts(self.folder):
            for image in pictures_in(part / "images"):
                name = image.relative_to(part / "images")
                label = (part / "masks" / name).with_suffix(".png")
                known = split or split_by(str(name.with_suffix("")))
                yield Entry(str(name), known, image, label, identity=f"{part.name}/{name}")

    def person(self, entry: Entry) -> Labelled:
        plane = read_plane(entry.label)
        return labelled(entry, _alpha(plane > 0) if plane.max() <= 1 else plane)


def _parts(folder: Path) -> list[tuple[Path, str]]:
    found = [(folder / split, split) for split in SPLITS] + [(folder, "")]
    return [(x, split) for x, split in found if (x / "images").is_dir() and (x / "masks").is_dir()]


def _alpha(mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Image:
    return np.where(mask, 255, 0).astype(np.uint8)
