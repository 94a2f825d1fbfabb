"""What `import vcam` offers to programs."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import vcam
from vcam.effects.room import Blur
from vcam.plugins import _entry_points
from vcam.sinks.null import NullSink

PORTRAIT = Path(vcam.__file__).parent / "sources" / "astronaut.jpg"
FAST: dict[str, Any] = {"engine": "sinet_fp32", "backend": "onnxruntime"}


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    """uint8 [225, 301, 3]: odd sizes."""
    image = cv2.resize(vcam.read_image(PORTRAIT), (301, 225), interpolation=cv2.INTER_AREA)
    return np.asarray(image, np.uint8)


def test_every_public_name_is_there_documented_and_loaded_only_when_it_is_used() -> None:
    assert set(vcam.__all__) <= set(dir(vcam))
    for name in vcam.__all__:
        assert getattr(vcam, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = vcam.nothing
    program = "import sys, vcam; print([m for m in ('cv2', 'numpy', 'av') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"[]\n"


def test_an_open_engine_finds_the_person(portrait: np.ndarray) -> None:
    with vcam.open_engine("sinet", backend="onnxruntime") as engine:
        alpha = engine.alpha(portrait)
        video = list(engine.alphas([portrait] * 3))
        assert "sinet" in str(engine.about())
    assert alpha.shape == (225, 301)
    assert alpha.dtype == np.uint8
    assert alpha[150, 140] > 250  # her chest
    assert alpha[20, 280] < 5  # the corner
    assert [plane.shape for plane in video] == [(225, 301)] * 3
    assert np.abs(video[-1].astype(int) - alpha).mean() < 8


def test_an_engine_is_used_open_and_with_pictures_only(portrait: np.ndarray) -> None:
    engine = vcam.open_engine("sinet")
    with pytest.raises(vcam.UsageError, match="not open"):
        engine.alpha(portrait)
    with engine, pytest.raises(vcam.UsageError, match=r"not float64 \[225, 301, 3\]"):
        engine.alpha(portrait / 255)  # type: ignore[arg-type]
    with pytest.raises(vcam.UsageError, match="no_such"):
        vcam.open_engine("no_such")


def test_an_effect_changes_the_room_of_a_picture_and_leaves_the_person(
    portrait: np.ndarray,
) -> None:
    before = portrait.copy()
    green = vcam.apply(portrait, ["color:#00c800"], **FAST)
    assert (portrait == before).all()
    assert green.shape == portrait.shape
    assert np.abs(green[10, 290].astype(int) - (0, 200, 0)).max() <= 3
    assert (green[150, 140] == portrait[150, 140]).all()
    cut = vcam.apply(portrait, ["remove"], **FAST)
    assert cut.shape == (225, 301, 4)
    assert (cut[10, 290, 3], cut[150, 140, 3]) == (0, 255)


def test_without_an_effect_about_the_room_it_is_blurred(portrait: np.ndarray) -> None:
    sharp = cv2.Laplacian(portrait[:60, 200:], cv2.CV_32F).std()
    for effects in ([], [Blur(0.8)], ["blur:0.8"]):
        soft = vcam.apply(portrait, effects, **FAST)
        assert cv2.Laplacian(soft[:60, 200:], cv2.CV_32F).std() < 0.5 * sharp
    assert (vcam.apply(portrait, ["none"], **FAST) == portrait).all()


def test_a_sequence_keeps_its_order_and_number_and_may_be_left_early(portrait: np.ndarray) -> None:
    read = []

    def pictures() -> Iterator[np.ndarray]:
        for number in range(12):
            read.append(number)
            yield np.full((64, 96, 3), 20 * number, np.uint8)

    seen = [int(p[0, 0, 0]) for p in vcam.apply_all(pictures(), ["none"], **FAST)]
    assert seen == [20 * number for number in range(12)]
    read.clear()
    for changed in vcam.apply_all(pictures(), ["color:red"], **FAST):
        assert changed.shape == (64, 96, 3)
        break
    assert len(read) < 12
    assert not [t for t in threading.enumerate() if t.name.startswith("vcam-")]


def test_pictures_of_several_sizes_are_refused() -> None:
    sizes = [np.zeros((64, 96, 3), np.uint8), np.zeros((64, 98, 3), np.uint8)]
    with pytest.raises(vcam.StageError, match="one is 98x64, the first one was 96x64"):
        list(vcam.apply_all(sizes, ["none"], **FAST))


def test_two_pipelines_run_in_one_process_and_settings_of_the_process_stay() -> None:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:
        runs = [
            vcam.open_pipeline("pattern", "null", ["blur"], size=(96, 64), duration_s=0.5, **FAST)
            for _ in range(2)
        ]
        for run in runs:
            run.start()
        finals = [run.wait(60) for run in runs]
        assert [final and final.frames for final in finals] == [15, 15]
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(threads)


def test_a_source_and_a_sink_are_added_by_name() -> None:
    sinks: list[NullSink] = []

    def make_sink(target: str, request: vcam.SinkRequest) -> vcam.Sink:
        sinks.append(NullSink("", request))
        assert target == "abc"
        return sinks[-1]

    def make_source(argument: str, request: vcam.SourceRequest) -> vcam.Source:
        return vcam.ArraySource([np.zeros((64, 96, 3), np.uint8)] * int(argument))

    vcam.register_source("test-noise", make_source)
    vcam.register_sink("test-tube", make_sink)
    for register, taken in ((vcam.register_source, "demo"), (vcam.register_sink, "null")):
        for name in (taken, "Ä"):
            with pytest.raises(vcam.UsageError, match=name):
                register(name, None)  # type: ignore[arg-type]
    with vcam.open_pipeline("test-noise:7", "test-tube:abc", ["color:red"], **FAST) as run:
        run.wait(60)
    assert sinks[0].frames == 7


def test_packages_add_by_entry_points_and_a_broken_one_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    points = {
        "vcam.effects": [("test-pixels", "examples.own_effect:PIXELATE")],
        "vcam.sources": [("test-broken", "no_such_module:thing")],
    }

    def entry_points(group: str) -> list[metadata.EntryPoint]:
        return [metadata.EntryPoint(name, value, group) for name, value in points.get(group, [])]

    monkeypatch.setattr(metadata, "entry_points", entry_points)
    _entry_points.cache_clear()
    try:
        image = np.full((64, 96, 3), 90, np.uint8)
        assert vcam.apply(image, ["test-pixels:0.5"], **FAST).shape == image.shape
        with pytest.raises(vcam.UsageError, match=r"test-broken.*no_such_module"):
            vcam.open_pipeline("test-broken", "null", **FAST)
        with pytest.raises(vcam.UsageError, match=r"known: .*test-pixels"):
            vcam.apply(image, ["test-pixel"], **FAST)
        with pytest.raises(vcam.UsageError, match="strength"):
            vcam.apply(image, ["test-pixels:2"], **FAST)
    finally:
        monkeypatch.undo()
        _entry_points.cache_clear()


def test_an_added_effect_that_is_not_about_the_room_does_not_show_it(portrait: np.ndarray) -> None:
    class Nothing(vcam.Stateless):
        needs_matte = False

        def apply(self, scene: vcam.Scene) -> vcam.Frame:
            return scene.frame

    vcam.register_effect("test-nothing", vcam.EffectSpec(Nothing, "Nothing", "nothing"))
    blurred = vcam.apply(portrait, ["blur"], **FAST)
    for effect in ("test-nothing", Nothing()):
        assert (vcam.apply(portrait, [effect], **FAST) == blurred).all()


def test_the_fakes_for_tests_of_others_run_a_pipeline() -> None:
    from vcam import testing

    sink = testing.RecordingSink()
    source = testing.FakeSource([testing.person_in_room()] * 3)
    assert testing.pipeline_of(source, sink, ["color:#000000"]).run().frames == 3
    width, height = sink.frames[0].size
    assert sink.frames[0].y[0, 0] == 16
    assert sink.frames[0].y[height // 2, width // 2] > 150
    assert all(getattr(testing, name).__doc__ for name in testing.__all__)
