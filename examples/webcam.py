"""Run a camera into a virtual camera, and change the effects every ten seconds.

    python examples/webcam.py
    python examples/webcam.py demo null 4      another source, another sink, four seconds

Ctrl-C ends it.
"""

from __future__ import annotations

import itertools
import sys

import vcam

LOOKS = (["blur:0.3"], ["blur:1"], ["color:#204060", "skin:0.4"])
EVERY_S = 10.0


def main(source: str = "webcam", sink: str = "virtual", seconds: str = "0") -> None:
    """Every picture has the effects of one look only, and none shows the raw room."""
    duration_s = float(seconds) or None
    looks = itertools.cycle(LOOKS)
    with vcam.open_pipeline(source, sink, next(looks), duration_s=duration_s) as run:
        while run.wait(EVERY_S if duration_s is None else duration_s / 4) is None:
            run.set_effects(next(looks))
            print(f"{run.state}, {run.snapshot.fps:.0f} frames per second")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        print("ended")
    except vcam.VcamError as error:
        sys.exit(str(error))
