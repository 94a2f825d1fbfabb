"""Runs over many files, and announcements of results."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import typer

from vcam.assemble import RunRequest
from vcam.batch import Batch, Item, Skipped, plan
from vcam.cli.display import progress
from vcam.cli.options import print_json
from vcam.monitor import Snapshot

StoppedBy = Callable[[Callable[[], None]], AbstractContextManager[object]]

DAMAGED = 3
"""Exit status of a complete run whose sources were partly unreadable."""


def announce(text: str) -> None:
    """Announce the result of a run: on a terminal, or with --verbose."""
    if sys.stderr.isatty() or logging.getLogger("vcam").isEnabledFor(logging.INFO):
        print(f"vcam: {text}", file=sys.stderr)


def size_of(path: Path) -> str:
    """The size of a file as text."""
    size: float = path.stat().st_size
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


def announce_result(sink: str, written: str, final: Snapshot, seconds: float) -> None:
    """Announce the written file and the speed.

    Args:
        sink: as on the command line.
        written: the sink's description of its content; empty: there is none.
        final: the run's final statistics.
        seconds: duration of the run.
    """
    if not written:
        return
    path = Path(sink)
    size = f", {size_of(path)}" if path.is_file() else ""
    rate = final.frames / seconds if seconds else 0.0
    speed = f", {rate:.0f} pictures a second" if final.frames > 1 else ""
    announce(f"{sink}: {written}{size}; {seconds:.1f} s{speed}")


def run_files(request: RunRequest, recursive: bool, as_json: bool, stopped_by: StoppedBy) -> None:
    """Run over the files of a folder or pattern; see `vcam.batch`.

    Args:
        request: the options of each run.
        recursive: include subfolders.
        as_json: print the results as one JSON document.
        stopped_by: registers a function that is called if the user stops the program.

    Raises:
        typer.Exit: some files were unreadable or incomplete; the status is `DAMAGED`.
        VcamError: no file can be processed.
    """
    items, skipped = plan(request, recursive)
    for one in skipped:
        _say_skipped(one)
    batch = Batch(request, items)
    start_s = time.monotonic()
    done: list[Item] = []
    with stopped_by(batch.stop), progress(request.sink, len(items)) as step:
        for item, trouble in batch.run():
            step(1)
            if trouble is None or trouble.is_made:
                done.append(item)
            if trouble is not None:
                skipped.append(trouble)
                _say_skipped(trouble)
    seconds = time.monotonic() - start_s
    if as_json:
        print_json(_report(done, skipped, seconds))
    announce(summary(request.sink, done, skipped, seconds))
    if skipped:
        raise typer.Exit(DAMAGED if done else 1)


def _say_skipped(one: Skipped) -> None:
    print(f"vcam: {one.why}" if one.is_made else f"vcam: skipped {one.why}", file=sys.stderr)


def summary(sink: str, done: list[Item], skipped: list[Skipped], seconds: float) -> str:
    """Summarise a run over many files in one line."""
    pictures = sum(item.is_picture for item in done)
    films = len(done) - pictures
    counts = [count(pictures, "picture")] if pictures or not films else []
    counts += [count(films, "film")] if films else []
    rate = f" ({len(done) / seconds:.1f} a second)" if seconds and len(done) > 1 else ""
    text = f"{' and '.join(counts)} in {sink}, {seconds:.1f} s{rate}"
    left = [one for one in skipped if not one.is_made]
    if left:
        names = ", ".join(one.source.name for one in left[:3]) + (", ..." if len(left) > 3 else "")
        text += f"; {len(left)} skipped: {names} cannot be read"
    partly = [one for one in skipped if one.is_made]
    if partly:
        text += f"; {len(partly)} damaged: {', '.join(one.source.name for one in partly[:3])}"
    return text


def count(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _report(done: list[Item], skipped: list[Skipped], seconds: float) -> dict[str, object]:
    return {
        "seconds": seconds,
        "files": [{"source": str(item.source), "sink": str(item.target)} for item in done],
        "skipped": [
            {"source": str(one.source), "why": one.why, "is_made": one.is_made} for one in skipped
        ],
    }
