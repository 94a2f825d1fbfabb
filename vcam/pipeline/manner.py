"""The four modes of a run, by whether its source and its sink are live."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Manner:
    """The mode of a run.

    live: the newest frame wins, effects follow the clock, faces are parsed as time allows; else
        every frame is processed in turn, and effects follow the frames' timeline.
    paced: frames are delayed until they are due.
    outlives: a failed engine, effect or sink is reopened; else the failure ends the run.
    outlives_source: a source that fails or ends is reopened, and only the clock ends the run.
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
    """Return the mode of a run from such a source to such a sink."""
    return _MANNERS[source_live, sink_live]
