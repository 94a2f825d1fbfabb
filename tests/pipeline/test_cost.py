"""What one frame costs, in counts, which no noise of the machine can change.

If one of these fails, a frame has become dearer: find out why before the limit is raised.
"""

from __future__ import annotations

import tracemalloc

import cv2
import numpy as np
import pytest

from benchmarks.traffic import Traffic
from tests.helpers import pipeline_of
from vcam.backends.fake import FakeBackend
from vcam.effects import make_effects
from vcam.effects.composer import Composer
from vcam.frame import Frame, Matrix, Matte
from vcam.matting.pyramid import Pyramid
from vcam.matting.refine import RefineConfig
from vcam.matting.tiles import Tiles
from vcam.monitor import Stats
from vcam.pipeline.pipeline import PipelineConfig
from vcam.sinks.recording import RecordingSink
from vcam.sources.memory import MemorySource

SIZE = (1280, 720)
FRAME_BYTES = SIZE[0] * SIZE[1] * 3 // 2


def _scene(index: int) -> tuple[Frame, Matte]:
    """Head and shoulders that move a little, before a noisy room."""
    rng = np.random.default_rng(index)
    person = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    cv2.ellipse(person, (640 + 2 * index, 300), (150, 200), 0, 0, 360, 255, -1)
    cv2.ellipse(person, (640 + 2 * index, 780), (380, 300), 0, 0, 360, 255, -1)
    frame = Frame.empty(SIZE, Matrix.BT601)
    frame.data[:] = rng.integers(60, 80, frame.data.shape, np.uint8)
    frame.y[:] += person // 2
    small = cv2.resize(person, (288, 160), interpolation=cv2.INTER_AREA)
    return frame, Matte(np.asarray(cv2.GaussianBlur(small, (0, 0), 1), np.uint8))


def _cost(effect: str) -> tuple[Traffic, int]:
    """The traffic of the third frame, and the most bytes that NumPy held for it at once."""
    scenes = [_scene(index) for index in range(3)]
    traffic = Traffic(scenes[0][0])
    with Composer(
        make_effects([effect]), RefineConfig(), Stats(), transparent=False, live=False
    ) as composer:
        for frame, matte in scenes[:2]:
            composer.compose(frame, Pyramid.of(frame), matte)
        frame, matte = scenes[2]
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        out = composer.compose(frame, Pyramid.of(frame), matte)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        with traffic.counted():
            composer.compose(frame, Pyramid.of(frame), matte)
    assert out.size == SIZE
    return traffic, peak - before


@pytest.mark.parametrize(
    ("effect", "times", "passes"),
    [("blur", 8.5, 2), ("color:green", 6.5, 1)],
)
def test_a_frame_moves_few_bytes_and_only_shrinking_and_filling_see_all_of_it(
    effect: str, times: float, passes: int
) -> None:
    """Times: bytes read and written, by those of the frame read once and the picture written."""
    traffic, held = _cost(effect)
    assert traffic.full_passes <= passes
    assert traffic.moved_bytes < times * 2 * FRAME_BYTES
    assert held < 2.5 * FRAME_BYTES  # the picture, and what it is made of


def test_tiles_at_the_outline_are_a_small_part() -> None:
    pixels = 0
    of = Tiles.of

    def counted(tiles: Tiles, plane: np.ndarray) -> np.ndarray:
        nonlocal pixels
        pixels = max(pixels, len(tiles) * tiles.height * tiles.width)
        return of(tiles, plane)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tiles, "of", counted)
        _cost("blur")
    assert 0.02 < pixels / (SIZE[0] * SIZE[1]) < 0.2


def test_the_engine_runs_once_for_every_frame() -> None:
    backend = FakeBackend()
    frames = [_scene(index)[0] for index in range(4)]
    sink = RecordingSink()
    pipeline = pipeline_of(
        MemorySource(frames), sink, ("blur",), backend, PipelineConfig(max_frames=12)
    )
    pipeline.run()
    assert len(sink.frames) == 12
    assert backend.runs == 12 + 1  # and once to warm up
