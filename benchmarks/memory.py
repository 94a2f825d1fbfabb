"""Memory of a 1080p run with every effect: the resident set of `vcam run`, twice a second.

    python -m benchmarks.memory

The first third of the run, in which everything is loaded, does not count. Linux only.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

import numpy as np

from benchmarks.face import EFFECTS
from benchmarks.results import save
from vcam.bench.machine import resident_bytes
from vcam.catalogue import DEFAULT_ENGINE

_SIZE = "1920x1080"
_EVERY_S = 0.5


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", default=DEFAULT_ENGINE)
    parser.add_argument("--seconds", type=float, default=30)
    options = parser.parse_args()
    command = [sys.executable, "-m", "vcam", "run", "--source", "demo", "--size", _SIZE]
    command += ["--sink", "null", "--engine", options.engine]
    command += [word for effect in ("blur", *EFFECTS) for word in ("--effect", effect)]
    samples = []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        start_s = time.monotonic()
        while (passed_s := time.monotonic() - start_s) < options.seconds:
            time.sleep(_EVERY_S)
            if passed_s > options.seconds / 3:
                samples.append(resident_bytes(run.pid) / 2**20)
        run.terminate()
    growth = float(np.polyfit(np.arange(len(samples)) * _EVERY_S / 60, samples, 1)[0])
    print(f"{min(samples):.0f} to {max(samples):.0f} MB, {growth:+.1f} MB a minute")
    report = {"size": _SIZE, "effects": ["blur", *EFFECTS], "engine": options.engine}
    print(save("memory", report | {"resident_mb": samples, "growth_mb_per_minute": growth}))


if __name__ == "__main__":
    main()
