"""How long a hotkey takes: from the start of `vcam set ...` to the first sent frame that shows it.

    python -m benchmarks.hotkeys --times 10 [--json]

The run is real but for its camera and engine, which are fakes of 30 frames a second, so that only
the way of the command is measured: start of Python, the socket, the swap between two frames, the
next frame. The processor time of the command is given, too, which does not depend on what
else the machine does.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.results import save
from tests.control.runs import Run, actions_of, running
from tests.helpers import frame_of
from vcam.control.serve import Server
from vcam.frame import Frame
from vcam.sources.memory import MemorySource

_FPS = 30
_DEADLINE_S = 20.0
_PROFILE = {"effect": ["color:black"]}
_SETTINGS = (
    '[profile.red.run]\neffect = ["color:red"]\n[profile.black.run]\neffect = ["color:black"]\n'
)


def _is_red(frame: Frame) -> bool:
    return int(frame.v[2, 2]) > 200


def _is_black(frame: Frame) -> bool:
    return int(frame.y[4, 4]) < 40


COMMANDS: dict[str, tuple[tuple[str, ...], Callable[[Frame], bool] | None]] = {
    "set": (("set", "color=red"), _is_red),
    "toggle": (("toggle", "remove"), lambda frame: not _is_red(frame)),
    "profile use": (("profile", "use", "black"), _is_black),
    "pause": (("pause",), lambda frame: not _is_black(frame)),
    "resume": (("resume",), _is_black),
    "effects": (("effects",), None),
    "snapshot": (("snapshot", "{folder}/me{number}.png"), None),
    "stop": (("stop",), None),
}
"""What is typed, and how a sent frame shows it; None: the command has ended."""


def measure(run: Run, folder: Path, name: str, number: int) -> tuple[float, float]:
    """Milliseconds from start to sent frame, and of processor time."""
    words, shows = COMMANDS[name]
    typed = [word.format(folder=folder, number=number) for word in words]
    seen = len(run.sink.frames)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start_s = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "vcam", *typed],
        env={**os.environ, "XDG_RUNTIME_DIR": str(folder)},
        stdout=subprocess.DEVNULL,
    )
    end_s = 0.0
    while shows is not None and not end_s:
        frames = run.sink.frames
        if any(shows(frame) for frame in frames[seen:]):
            end_s = time.monotonic()
        seen = max(seen, len(frames) - 1)
        time.sleep(0.001)
        if time.monotonic() - start_s > _DEADLINE_S:
            raise SystemExit(f"{name}: no sent frame shows it")
    if process.wait():
        raise SystemExit(f"{name}: ended with status {process.returncode}")
    end_s = end_s or time.monotonic()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return (end_s - start_s) * 1000, used_s * 1000


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print, or write to `benchmarks/results`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--json", action="store_true", help="write to benchmarks/results")
    options = parser.parse_args(arguments)
    load = os.getloadavg()[0]  # if it exceeds the cores, only the processor time means anything
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    for number in range(options.times):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            source = MemorySource([frame_of()], fps=_FPS, live=True)
            with (
                running(["color:black"], {"first": source}) as run,
                Server(actions_of(run, folder, _PROFILE), folder / "vcam"),
            ):
                for name in COMMANDS:
                    found[name].append(measure(run, folder, name, number))
    rows = [
        {
            "command": name,
            "median_ms": round(statistics.median(x for x, _ in times), 1),
            "slowest_ms": round(max(x for x, _ in times), 1),
            "processor_ms": round(statistics.median(x for _, x in times), 1),
        }
        for name, times in found.items()
    ]
    for row in rows:
        print(
            "{command:12} median {median_ms:6} ms, slowest {slowest_ms:6} ms, "
            "processor {processor_ms:6} ms".format(**row)
        )
    if options.json:
        print(
            save("hotkeys", {"times": options.times, "fps": _FPS, "load": load, "commands": rows})
        )


if __name__ == "__main__":
    main()
