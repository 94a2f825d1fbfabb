"""How far a run is: its lines, its log with the curves, and the lock that keeps a second run out."""

from __future__ import annotations

import csv
import io
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from export.errors import ExportError
from export.weights.record import LOG_COLUMNS, read_log
from vcam.files import write_whole

_EVERY_S = 1.0


@contextmanager
def sole(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder for the length of the block; the lock ends with the process.

    Without such locks (Windows, some networks) there is none.

    Raises:
        ExportError: another run writes there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ExportError(
                f"{folder}: another run writes there; wait for it, or give another folder with --out"
            ) from error
        except OSError:
            pass
        yield
    finally:
        os.close(handle)


class Progress:
    """Says how far a run is. total, seen: samples, of all and of before."""

    def __init__(self, total: int, seen: int) -> None:
        self._total, self._from = total, seen
        self._begun = self._said = time.monotonic()
        self._live = sys.stdout.isatty()

    def step(self, seen: int, loss: float) -> None:
        """A step is done: at a terminal, the last line changes about once a second."""
        now = time.monotonic()
        if self._live and now - self._said >= _EVERY_S:
            self._said = now
            print(f"\r\x1b[K{self.line(seen, loss)}", end="", flush=True)

    def saved(self, seen: int, loss: float) -> None:
        """Everything up to here is kept: a line that stays."""
        start = "\r\x1b[K" if self._live else ""
        print(f"{start}{self.line(seen, loss)}", flush=True)

    def line(self, seen: int, loss: float) -> str:
        """For example "640 of 3000 samples (21 %), loss 0.1234, 33.1 a second, 1 min 11 s left"."""
        rate = (seen - self._from) / max(time.monotonic() - self._begun, 1e-6)
        share = 100 * seen // self._total
        left = max(0, self._total - seen) / rate if rate else 0.0
        return (
            f"{seen} of {self._total} samples ({share} %), loss {loss:.4f}, "
            f"{rate:.1f} a second, {_time(left)} left"
        )


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def append_log(folder: Path, seen: int, loss: float, rate: float) -> None:
    """Add a line to `log.csv`; a new one begins with the names of its columns."""
    path = folder / "log.csv"
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        if new:
            rows.writerow(LOG_COLUMNS)
        rows.writerow([seen, f"{loss:.5f}", f"{rate:.2e}"])


def draw_curves(folder: Path) -> None:
    """Write `curves.svg`: loss and rate over the samples of `log.csv`."""
    from matplotlib.figure import Figure

    rows = read_log(folder / "log.csv")
    if not rows:
        return
    seen = [row[0] for row in rows]
    figure = Figure(figsize=(8, 5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    for axes, column, name in ((upper, 1, "loss"), (lower, 2, "rate")):
        axes.plot(seen, [row[column] for row in rows], marker="." if len(rows) < 40 else "")
        axes.set_ylabel(name)
        axes.grid(alpha=0.3)
    lower.set_xlabel("samples")
    upper.set_title(folder.resolve().name)
    text = io.StringIO()
    figure.savefig(text, format="svg")
    write_whole(folder / "curves.svg", text.getvalue())
