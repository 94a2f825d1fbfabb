"""Change a running camera from a keyboard, or from a MIDI controller.

python examples/live.py                 type t, p or a number from 0 to 9, then Enter
python examples/live.py --midi          knob 1 is the blur; needs: pip install mido python-rtmidi
"""

from __future__ import annotations

import sys
import threading

import vcam


def by_key(run: vcam.Control, key: str) -> None:
    """t: teeth; p: pause; 0 to 9: how strong the blur is."""
    try:
        if key.isdigit():
            run.set("blur.strength", int(key) / 9)
        elif key == "t":
            run.toggle("teeth")
        elif key == "p":
            run.toggle("paused")
    except vcam.VcamError as error:  # nothing has changed then
        print(error)


def by_midi(run: vcam.Control) -> None:
    """Every message of the first controller: knob 1 is the blur."""
    import mido  # type: ignore[import-not-found]  # noqa: PLC0415 - only with --midi

    with mido.open_input() as port:
        for message in port:
            if message.type == "control_change" and message.control == 1:
                run.set("blur.strength", message.value / 127)


def main(source: str = "webcam", sink: str = "virtual", midi: bool = False) -> None:
    """Run until the end of standard input."""
    with vcam.open_run(source, sink, ["blur"]) as run:
        events = run.events()
        told = threading.Thread(
            target=lambda: [print(event.kind) for event in events if event.kind != "sample"]
        )
        told.start()
        if midi:
            by_midi(run)
        for line in sys.stdin:
            by_key(run, line.strip())
        events.close()
        told.join()


if __name__ == "__main__":
    given = [word for word in sys.argv[1:] if word != "--midi"]
    source, sink = [*given, "webcam", "virtual"][:2] if len(given) != 1 else (given[0], "virtual")
    main(source, sink, midi="--midi" in sys.argv)
