"""What an engine's scores are picture by picture: a table of all, and a sheet of the worst."""

from __future__ import annotations

import csv
import heapq
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from export.data.files import write_file
from export.data.image import Image
from export.data.sheet import corrected, painted, tile, write_sheet
from export.evaluation.confusion import Confusion

_FIRST = ("iou", "miou", "person_share")
"""The measure by which pictures are ranked: the first of these that a picture has."""


@dataclass(slots=True)
class Pictures:
    """Collects every picture that is measured. shown: how many of the worst to keep for a sheet.

    confusion: counts classes of every picture; None: nothing does.
    """

    shown: int = 24
    confusion: Confusion | None = None
    _rows: list[tuple[str, str, dict[str, float]]] = field(default_factory=list)
    _worst: list[tuple[float, int, Image]] = field(default_factory=list)

    def saw(
        self,
        name: tuple[str, str],
        image: Image,
        found: Image,
        wanted: Image,
        valid: Image,
        values: Mapping[str, float],
    ) -> None:
        """One picture.

        name: of the set and of the picture. image: uint8 [H, W, 3] RGB. found, wanted: uint8 [H, W],
        classes of the answer and the label. valid: uint8 [H, W], 0 or 1. values: the measures.
        """
        self._rows.append((*name, dict(values)))
        if self.confusion is not None:
            self.confusion.saw(name[0], found, wanted, valid)
        score = _rank(values)
        if self.shown and (len(self._worst) < self.shown or score < -self._worst[0][0]):
            measure = next(x for x in _FIRST if x in values)
            title = f"{'/'.join(name)}  {measure} {values[measure]:.3f}"
            wrong = corrected(image, found, wanted, valid)
            picture = tile(title, [painted(image, found), wrong])
            push = heapq.heappush if len(self._worst) < self.shown else heapq.heapreplace
            push(self._worst, (-score, -len(self._rows), picture))

    def write_list(self, path: Path) -> None:
        """Write a CSV file with a line for each picture, the worst ones first.

        Raises:
            ExportError: it cannot be written.
        """
        measures = list(dict.fromkeys(name for *_, values in self._rows for name in values))
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["set", "picture", *measures])
        for group, picture, values in sorted(self._rows, key=lambda row: _rank(row[2])):
            cells = [f"{values[name]:.4f}" if name in values else "" for name in measures]
            table.writerow([group, picture, *cells])
        write_file(path, text.getvalue(), 0o644)

    def write_sheet(self, path: Path) -> None:
        """Write the worst pictures: each with the answer, and with what is wrong in red.

        Raises:
            ExportError: as `export.data.sheet.write_sheet`.
        """
        write_sheet(path, [picture for _, _, picture in sorted(self._worst, key=lambda x: -x[0])])


def _rank(values: Mapping[str, float]) -> float:
    """The smaller, the worse: an overlap, or what is left of a picture without people."""
    measure = next(x for x in _FIRST if x in values)
    return 1 - values[measure] if measure == "person_share" else values[measure]
