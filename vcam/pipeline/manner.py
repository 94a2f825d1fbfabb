"""The four manners of a run, by what is live at its two ends."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Manner:
    """How a run goes.

    live: the newest frame wins, effects follow the clock, faces are parsed when there is time;
        else every frame waits for its turn, and effects follow the frames' own timeline.
    paced: frames are held back until they are due.
    outlives: an engine, an effect or a sink that fails is opened again; else the run ends.
    outlives_source: a source that fails or ends is opened again, and the clock ends the run.
    """

    live: bool
    paced: bool
    outlives: bool
    outlives_source: bool


_MANNERS = {
    # (source, sink) is live:   live   paced  outlives  outlives_source
    (True, True): Manner(True, False, True, True),  # a camera to a virtual camera
    (False, True): Manner(True, True, True, False),  # a file to a virtual camera
    (True, False): Manner(True, False, False, False),  # a camera to a file
    (False, False): Manner(False, False, False, False),  # a file to a file
}


def manner_of(source_live: bool, sink_live: bool) -> Manner:
    """The manner of a run from such a source to such a sink."""
    return _MANNERS[source_live, sink_live]
