"""Test doubles for your own effects, sources and sinks; no camera, driver or engine needed.

They are working parts, not mocks: a pipeline runs them in the same threads and slots as a camera.

    from vcam.testing import FakeBackend, FakeSource, RecordingSink, person_in_room, pipeline_of

    def test_my_effect_hides_the_room() -> None:
        sink = RecordingSink()
        pipeline_of(FakeSource([person_in_room()] * 3), sink, [MyEffect()]).run()
        assert len(sink.frames) == 3
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vcam.backends.base import Backend
from vcam.backends.fake import FakeBackend, centre_is_person
from vcam.colour import from_rgb
from vcam.effects import make_effects
from vcam.effects.base import Effect
from vcam.face.fake import KnownFaces
from vcam.frame import Frame, Matrix, Size
from vcam.linux.viewers import FakeReaders
from vcam.matting.matter import Matter
from vcam.pipeline.pipeline import Parts, Pipeline, PipelineConfig
from vcam.sinks.base import Sink
from vcam.sinks.recording import RecordingSink
from vcam.sources.base import Source
from vcam.sources.fake import Block, Deaf, FakeSource, Wait
from vcam.sources.memory import MemorySource

__all__ = [
    "Block",
    "Deaf",
    "FakeBackend",
    "FakeReaders",
    "FakeSource",
    "KnownFaces",
    "MemorySource",
    "RecordingSink",
    "Wait",
    "centre_is_person",
    "person_in_room",
    "pipeline_of",
]

ROOM, PERSON = (255, 0, 255), (230, 200, 40)
"""R, G, B of `person_in_room`; the room's is a colour that must never appear in the output."""


def person_in_room(
    size: Size = (160, 96),
    room: tuple[int, int, int] = ROOM,
    person: tuple[int, int, int] = PERSON,
) -> Frame:
    """Draw a room of one colour with a person in the middle half, as `centre_is_person` finds one.

    Args:
        size: (width, height), both even.
        room: R, G, B.
        person: R, G, B.
    """
    width, height = size
    picture = np.full((height, width, 3), room, np.uint8)
    picture[height // 4 : height * 3 // 4, width // 4 : width * 3 // 4] = person
    return from_rgb(picture, Matrix.BT601)


def pipeline_of(
    source: Source,
    sink: Sink,
    effects: Sequence[str | Effect] = ("blur",),
    backend: Backend | None = None,
    config: PipelineConfig | None = None,
) -> Pipeline:
    """Make a pipeline of such parts, not started yet.

    Args:
        source: for instance a `FakeSource`.
        sink: for instance a `RecordingSink`.
        effects: as for `vcam.open_pipeline`; face effects need `Parts.make_faces`.
        backend: of the person engine; None: a `FakeBackend`.
        config: timing of the pipeline.
    """
    parts = Parts(
        make_source=lambda _: source,
        matter=Matter(backend or FakeBackend()),
        effects=make_effects(effects),
        sink=sink,
    )
    return Pipeline(parts, config)
