"""Which class an engine takes for which, over a whole set, and what mmsegmentation makes of that.

Its figures (mmseg/core/evaluation/metrics.py of open-mmlab/mmsegmentation 0.30): IoU of a class is
its correct pixels of all pictures over those that either side gives it; accuracy of a class its
correct pixels over those of the label; mIoU and mAcc are means over the classes that have such
pixels, aAcc is correct pixels over all. Ignored pixels do not count.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.data.files import write_file
from export.data.image import Image
from export.models import PERSON, V1_CLASSES

Matrix = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SetScore:
    """What mmsegmentation says of a set; of a class that is not in it, None.

    classes: their names. iou, accuracy: by class. miou, mean_accuracy: over classes; all_accuracy:
    of all pixels. All from 0 to 1.
    """

    classes: tuple[str, ...]
    iou: tuple[float | None, ...]
    accuracy: tuple[float | None, ...]
    miou: float
    mean_accuracy: float
    all_accuracy: float


@dataclass(slots=True)
class Confusion:
    """Counts pixels by label and answer, set by set. classes: of the engine; () for a person engine."""

    classes: tuple[str, ...] = ()
    matrices: dict[str, Matrix] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the rows and columns."""
        return self.classes or PERSON

    def saw(self, name: str, found: Image, wanted: Image, valid: Image) -> None:
        """One picture of a set: classes uint8 [H, W] of answer and label, in numbers of EasyPortrait
        version 1, or 0 and 1 of a person; valid uint8 [H, W], 0 or 1.
        """
        numbers = [V1_CLASSES.index(x) for x in self.classes] if self.classes else [0, 1]
        place = np.zeros(256, np.int64)
        place[numbers] = range(len(numbers))
        counts, size = valid > 0, len(numbers)
        pairs = place[wanted[counts]] * size + place[found[counts]]
        matrix = np.bincount(pairs, minlength=size * size).reshape(size, size)
        self.matrices[name] = self.matrices.get(name, np.zeros_like(matrix)) + matrix

    def score(self, name: str) -> SetScore:
        """What mmsegmentation says of a set that was seen."""
        matrix = self.matrices[name]
        right, of_label, of_answer = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
        iou = _ratios(right, of_label + of_answer - right)
        accuracy = _ratios(right, of_label)
        return SetScore(
            self.names,
            iou,
            accuracy,
            _mean(iou),
            _mean(accuracy),
            float(right.sum() / max(1, matrix.sum())),
        )

    def write(self, path: Path) -> None:
        """Write a CSV file: a row for each set and class of the label, columns of pixels by answer.

        Raises:
            ExportError: it cannot be written.
        """
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["set", "label", *self.names, "iou", "accuracy"])
        for name, matrix in self.matrices.items():
            score = self.score(name)
            for row, label in enumerate(self.names):
                shares = (score.iou[row], score.accuracy[row])
                cells = ["" if x is None else f"{x:.4f}" for x in shares]
                table.writerow([name, label, *map(int, matrix[row]), *cells])
        write_file(path, text.getvalue())


def _ratios(part: Matrix, whole: Matrix) -> tuple[float | None, ...]:
    return tuple(float(a / b) if b else None for a, b in zip(part, whole, strict=True))


def _mean(values: Sequence[float | None]) -> float:
    known = [x for x in values if x is not None]
    return sum(known) / len(known) if known else 0.0
