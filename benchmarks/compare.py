"""vcam against the usual way, in one go: rounds of one and the other in turn, and the ratio of each
round.

    python -m benchmarks.compare --usual-python OTHER_ENVIRONMENT/bin/python TALK.mp4 ...

OTHER_ENVIRONMENT has `mediapipe` (see usual_way.py). The result goes to benchmarks/results/.
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
from vcam.effects.blur import sigma_px
from vcam.sources import make_source
from vcam.sources.base import SourceRequest

_HERE = Path(__file__).parent
_STRENGTH = 0.6
"""Of the blur, on both sides; vcam's default."""


def _run(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    report: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
    return report


def open_height(source: str) -> int:
    """Rows of the first frame of a video."""
    with make_source(source, SourceRequest()) as opened:
        return opened.size[1]


def compare(usual_python: str, source: str, rounds: int, frames: int) -> dict[str, Any]:
    """Rates of both, frames per second, and their ratio round by round."""
    height = open_height(source)
    usual_command = [
        usual_python,
        str(_HERE / "usual_way.py"),
        source,
        "--frames",
        str(frames // 8),
    ]
    usual_command += ["--sigma", str(sigma_px(_STRENGTH, height))]
    ours_command = [sys.executable, "-m", "vcam", "bench", "--pipeline", "--source", source]
    ours_command += ["--effect", f"blur:{_STRENGTH}"]
    ours_command += ["--runs", str(frames), "--json"]
    usual, ours = [], []
    for number in range(rounds):
        usual.append(_run(usual_command))
        ours.append(_run(ours_command))
        print(
            f"{source} round {number + 1}: usual {usual[-1]['fps']:.1f} fps, vcam"
            f" {ours[-1]['fps']:.1f} fps"
        )
    ratios = [mine["fps"] / theirs["fps"] for mine, theirs in zip(ours, usual, strict=True)]
    return {
        "source": Path(source).name,
        "sigma_px": usual[-1]["sigma_px"],
        "usual_fps": [report["fps"] for report in usual],
        "vcam_fps": [report["fps"] for report in ours],
        "ratio_median": statistics.median(ratios),
        "ratios": ratios,
        "usual_versions": usual[-1]["versions"],
        "vcam_last_report": ours[-1],
    }


def main() -> None:
    """Compare on every source that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--usual-python", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=1200)
    options = parser.parse_args()
    reports = [
        compare(options.usual_python, s, options.rounds, options.frames) for s in options.sources
    ]
    for report in reports:
        print(f"{report['source']}: {report['ratio_median']:.1f} times")
    print(save("compare", {"comparisons": reports}))


if __name__ == "__main__":
    main()
