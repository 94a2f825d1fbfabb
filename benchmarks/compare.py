"""vcam against two usual ways, in one go: rounds of one and the others in turn, and the ratios of
each round.

    python -m benchmarks.compare --usual-python OTHER_ENVIRONMENT/bin/python talk_720p.mp4 ...

OTHER_ENVIRONMENT has `mediapipe` (see usual_way.py). Frames per second as fast as it goes, then
what a live run of 30 frames per second costs the processor. The result goes to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.results import save
from vcam.catalogue import DEFAULT_ENGINE
from vcam.effects.blur import sigma_px
from vcam.sources import make_source
from vcam.sources.base import SourceRequest

_HERE = Path(__file__).parent
_STRENGTH = 0.6
"""Of the blur, as vcam's default; `tutorial` has the same standard deviation, `peer` its own."""
_LIVE_FPS = 30
WAYS = ("tutorial", "peer")


def _run(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    report: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
    return report


def open_height(source: str) -> int:
    """Rows of the first frame of a video."""
    with make_source(source, SourceRequest()) as opened:
        return opened.size[1]


class Contest:
    """vcam and the usual ways on one video.

    Args:
        usual_python: an interpreter that has `mediapipe`.
        source: the video.
        engine: of vcam.
    """

    def __init__(self, usual_python: str, source: str, engine: str) -> None:
        sigma = str(sigma_px(_STRENGTH, open_height(source)))
        script = str(_HERE / "usual_way.py")
        self._usual = [usual_python, script, source, "--sigma", sigma]
        self._ours = [sys.executable, "-m", "vcam", "bench", "--pipeline", "--source", source]
        self._ours += ["--effect", f"blur:{_STRENGTH}", "--engine", engine, "--json"]

    def usual(self, way: str, frames: int, *options: str) -> dict[str, Any]:
        """One run of a usual way."""
        return _run([*self._usual, "--way", way, "--frames", str(frames), *options])

    def ours(self, frames: int, *options: str) -> dict[str, Any]:
        """One run of vcam."""
        return _run([*self._ours, "--runs", str(frames), *options])


def compare(contest: Contest, rounds: int, frames: int, live_s: float) -> dict[str, Any]:
    """Rates in frames per second and their ratios, round by round, and a live run of each."""
    fps: dict[str, list[float]] = {name: [] for name in ("vcam", *WAYS)}
    cpu_ms: dict[str, list[float]] = {name: [] for name in fps}
    for number in range(rounds):
        reports = {way: contest.usual(way, frames // 8) for way in WAYS}
        mine = contest.ours(frames)
        reports["vcam"] = {"fps": mine["fps"], **mine["cpu"]}
        for name, report in reports.items():
            fps[name].append(report["fps"])
            cpu_ms[name].append(report["cpu_ms_per_frame"])
        print(f"round {number + 1}: " + ", ".join(f"{k} {v[-1]:.1f} fps" for k, v in fps.items()))
    live_frames = round(live_s * _LIVE_FPS)
    live = {way: contest.usual(way, live_frames, "--live", str(_LIVE_FPS)) for way in WAYS}
    live["vcam"] = contest.ours(live_frames, "--live", str(_LIVE_FPS))
    ratios = {
        way: [ours / theirs for ours, theirs in zip(fps["vcam"], fps[way], strict=True)]
        for way in WAYS
    }
    return {
        "fps": fps,
        "cpu_ms_per_frame": cpu_ms,
        "ratios": ratios,
        "ratio_median": {way: statistics.median(values) for way, values in ratios.items()},
        "live": live,
        "vcam_last_report": mine,
    }


def main() -> None:
    """Compare on every source that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--usual-python", required=True)
    parser.add_argument("--engine", default=DEFAULT_ENGINE)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=1200)
    parser.add_argument("--live-seconds", type=float, default=20)
    options = parser.parse_args()
    reports = []
    for source in options.sources:
        contest = Contest(options.usual_python, source, options.engine)
        report = compare(contest, options.rounds, options.frames, options.live_seconds)
        reports.append({"source": Path(source).name, **report})
        for way, ratio in report["ratio_median"].items():
            print(f"{Path(source).name}: {ratio:.1f} times `{way}`")
    print(save("compare", {"comparisons": reports}))


if __name__ == "__main__":
    main()
