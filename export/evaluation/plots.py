"""Plots of an evaluation: confusion of each set, IoU by class and by condition."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from export.evaluation.confusion import Confusion
from export.evaluation.measures import Score

_DPI = 110


def write_plots(folder: Path, confusion: Confusion, scores: Sequence[Score]) -> list[Path]:
    """Write PNG files into a folder, which is made if it is not there; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in confusion.matrices:
        written.append(folder / f"confusion {_plain(name)}.png")
        _confusion(written[-1], name, confusion)
    if confusion.matrices:
        written.append(folder / "iou by class.png")
        _by_class(written[-1], confusion)
    rows = [x for x in scores if x.metric in ("iou", "miou")]
    rows = [x for x in rows if x.metric == ("miou" if confusion.classes else "iou")]
    if any(x.condition for x in rows):
        written.append(folder / "iou by condition.png")
        _by_condition(written[-1], rows)
    return written


def _plain(name: str) -> str:
    return re.sub(r"[^\w -]+", "_", name)


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=_DPI, layout="constrained")


def _confusion(path: Path, name: str, confusion: Confusion) -> None:
    """A row for each class of the label, in shares of its pixels."""
    matrix, names = confusion.matrices[name], confusion.names
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    figure = _figure(2.2 + 0.62 * len(names), 1.8 + 0.56 * len(names))
    axes = figure.subplots()
    axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("answer")
    axes.set_ylabel("label")
    axes.set_title(f"{name}: mIoU over the set {confusion.score(name).miou:.3f}", fontsize=10)
    for (row, column), share in np.ndenumerate(shares):
        if matrix[row].sum():
            colour = "white" if share > 0.6 else "black"
            text = f"{100 * share:.1f}" if share >= 0.0005 else "0"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    figure.savefig(path)


def _by_class(path: Path, confusion: Confusion) -> None:
    """Bars of the IoU over each set, side by side."""
    names, sets = confusion.names, list(confusion.matrices)
    figure = _figure(2 + 0.3 * len(names) * max(2, len(sets)), 4)
    axes = figure.subplots()
    width = 0.8 / len(sets)
    for index, name in enumerate(sets):
        values = [np.nan if x is None else x for x in confusion.score(name).iou]
        places = np.arange(len(names)) + (index - (len(sets) - 1) / 2) * width
        axes.bar(places, values, width, label=name)
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_ylim(0, 1)
    axes.set_ylabel("IoU over the set")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path)


def _by_condition(path: Path, rows: Sequence[Score]) -> None:
    """Points: the mean over pictures by set and condition, with their number."""
    shown = [x for x in rows if x.condition]
    labels = [f"{x.set}, {x.condition} ({x.images})" for x in shown]
    figure = _figure(8, 1.2 + 0.28 * len(shown))
    axes = figure.subplots()
    places = range(len(shown))
    axes.barh(places, [x.mean for x in shown], color="tab:blue", height=0.6)
    axes.set_yticks(places, labels, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel(f"{shown[0].metric}, mean over pictures")
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(path)
