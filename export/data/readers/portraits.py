"""Sets of people with masks: EG1800, Supervise-Portrait, and plain folders.

Layouts as the code of PortraitNet reads them (dong-x16/PortraitNet@5033db1,
data/datasets_portraitseg.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from export.data.files import evenly, lines_of, pictures_in, read_image, read_plane
from export.data.image import Image
from export.data.items import Labelled
from export.data.notes import Notes
from export.data.readers.base import Entry, Reader, labelled, split_by, split_named
from export.errors import ExportError

_HALF, _VOID = 128, 255
_FEW = 16
"""The most values that a mask may have without being a soft alpha."""
_LOOKED_AT = 32


class Eg1800(Reader):
    """Shen et al., Eurographics 2016. A mask has 1 (or, in some copies, 255 or a soft alpha) where
    a person is.

    Where it has both 1 and 255, and nothing between but other marks, 255 is ignored.
    """

    layout = "EG1800: Images/, Labels/, eg1800_train.txt, eg1800_test.txt"

    @classmethod
    def matches(cls, folder: Path) -> bool:
        return all(
            (folder / x).exists()
            for x in ("Images", "Labels", "eg1800_train.txt", "eg1800_test.txt")
        )

    def entries(self) -> Iterator[Entry]:
        for split in ("train", "test"):
            for name in lines_of(self.folder / f"eg1800_{split}.txt"):
                label = (self.folder / "Labels" / name).with_suffix(".png")
                yield Entry(name, split, self.folder / "Images" / name, label, identity=name)

    def person(self, entry: Entry) -> Labelled:
        plane = read_plane(entry.label)
        levels = _levels(plane)
        if 1 in levels and not _is_soft(levels):
            return labelled(entry, _alpha(plane == 1), (plane != _VOID).astype(np.uint8))
        if max(levels) < _HALF:
            raise ExportError(
                f"{entry.label}: nobody in it, only {_shown(levels)}; a person is 1, or 255"
            )
        return labelled(entry, _alpha(plane >= _HALF))


class SupervisePortrait(Reader):
    """Portraits of the Supervisely Person set, chosen for PortraitNet. A mask has 0 where nobody
    is.

    The lists name `Supervisely_face/<part>/img/<file>`, beside which `<part>/ann/<file>` is the
    mask.
    """

    layout = (
        "Supervise-Portrait: supervisely_face_{train,test}_{easy,difficult}.txt, */img/, */ann/"
    )

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
                yield Entry(
                    name,
                    split,
                    image,
                    label,
                    identity=name,
                    notes=Notes.of(path.stem.rpartition("_")[2]),
                )

    def person(self, entry: Entry) -> Labelled:
        return labelled(entry, _alpha(read_plane(entry.label) > 0))


class PlainFolder(Reader):
    """Any pictures with masks of the same name: 0 and 1, 0 and 255, or a soft alpha; of 0, 1 and
    255, 255 is ignored.

    `images/` and `masks/` lie in the folder, or in train/, val/ (or valid/) and test/ of it, or
    have these in them; without those, a hash splits.
    """

    layout = "plain: images/ and masks/ (same names), with train/, val/, test/ around or in them"

    @classmethod
    def matches(cls, folder: Path) -> bool:
        return bool(_parts(folder))

    def entries(self) -> Iterator[Entry]:
        for part, split in _parts(self.folder):
            masks = {
                path.relative_to(part / "masks").with_suffix(""): path
                for path in pictures_in(part / "masks")
            }
            for image in pictures_in(part / "images"):
                name = image.relative_to(part / "images")
                stem = name.with_suffix("")
                label = masks.get(stem, (part / "masks" / name).with_suffix(".png"))
                known = split or split_named(name.parts[0]) or split_by(stem.as_posix())
                yield Entry(str(name), known, image, label, identity=f"{part.name}/{name}")

    def person(self, entry: Entry) -> Labelled:
        """Read one picture with its mask; what few values mean is told by others of the folder.

        Raises:
            ExportError: as `labelled`, or the mask has values without an explanation.
        """
        plane = read_plane(entry.label)
        levels = _levels(plane)
        soft, void = self._found
        if levels <= {0, 1}:
            return labelled(entry, _alpha(plane > 0))
        if soft or _is_soft(levels) or (levels <= {0, _VOID} and not void):
            return labelled(entry, plane)
        if levels <= {0, 1, _VOID}:
            return labelled(entry, _alpha(plane == 1), (plane != _VOID).astype(np.uint8))
        raise ExportError(
            f"{entry.label}: values {_shown(levels)}; give 0 and 1, 0 and 255, 0, 1 and 255 "
            "(ignored), or a soft alpha "
            f"of more than {_FEW} values"
        )

    @cached_property
    def _found(self) -> tuple[bool, bool]:
        """Whether any of 32 masks, evenly chosen, is a soft alpha, and whether any has 0, 1 and an
        ignored 255.
        """
        looked_at = evenly([entry.label for entry in self.entries()], _LOOKED_AT)
        every = [_levels(read_plane(path)) for path in looked_at if path.exists()]
        return any(_is_soft(x) for x in every), any({1, _VOID} <= x <= {0, 1, _VOID} for x in every)


class Unlabelled(Reader):
    """Pictures without any label, all of them to train on: for a teacher."""

    layout = "no labels, for --teacher: images/ alone"

    @classmethod
    def matches(cls, folder: Path) -> bool:
        return (folder / "images").is_dir()

    def entries(self) -> Iterator[Entry]:
        for image in pictures_in(self.folder / "images"):
            yield Entry(str(image.relative_to(self.folder / "images")), "train", image, self.folder)

    def files(self, entry: Entry, task: str) -> Sequence[Path]:
        return (entry.image,)

    def person(self, entry: Entry) -> Labelled:
        """No pixel of it is valid."""
        image = read_image(entry.image)
        nothing = np.zeros(image.shape[:2], np.uint8)
        return Labelled(entry.name, image, nothing, nothing)


def _parts(folder: Path) -> list[tuple[Path, str]]:
    found = [(folder / name, split_named(name)) for name in ("train", "val", "valid", "test")] + [
        (folder, "")
    ]
    return [(x, split) for x, split in found if (x / "images").is_dir() and (x / "masks").is_dir()]


def _levels(plane: Image) -> set[int]:
    return set(np.flatnonzero(np.bincount(plane.ravel(), minlength=256)).tolist())


def _is_soft(levels: set[int]) -> bool:
    """Numbers of classes are few and small; an alpha has many values, also in the upper half."""
    return len(levels) > _FEW and any(_HALF <= x < _VOID for x in levels)


def _shown(levels: set[int]) -> str:
    return ", ".join(str(x) for x in sorted(levels)[:_FEW]) + ", ..." * (len(levels) > _FEW)


def _alpha(mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Image:
    return np.where(mask, 255, 0).astype(np.uint8)
