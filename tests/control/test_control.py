"""A change takes place between two frames, or not at all, and never shows the room."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.control.runs import lopsided_frame, running, until
from tests.helpers import PERSON, SIZE, frame_of, room_is_hidden
from vcam.backends.fake import FakeBackend
from vcam.colour import ycbcr_of
from vcam.errors import EngineError, SourceError, UsageError, VcamError
from vcam.frame import Frame, Matrix
from vcam.linux.viewers import FakeReaders
from vcam.monitor import State
from vcam.sources.base import Source
from vcam.sources.fake import FakeSource, Step, Wait
from vcam.sources.memory import MemorySource


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert until(lambda: not [t for t in threading.enumerate() if t.name.startswith("vcam-")])


def room_is(frame: Frame, rgb: tuple[int, int, int]) -> bool:
    seen = (frame.y[4, 4], frame.u[2, 2], frame.v[2, 2])
    return all(abs(int(a) - b) < 6 for a, b in zip(seen, ycbcr_of(rgb, Matrix.BT601), strict=True))


def shows_person(frame: Frame) -> bool:
    y, u, _ = ycbcr_of(PERSON, Matrix.BT601)
    half = SIZE[1] // 2
    return (
        abs(int(frame.y[half, SIZE[0] // 2]) - y) < 8 and abs(int(frame.u[half // 2, 40]) - u) < 8
    )


def camera(frames: int) -> list[Step]:
    return [frame_of(), Wait(0.01)] * frames


def test_a_change_is_in_every_frame_after_it() -> None:
    with running() as run:
        run.next_frames()
        run.control.set("color.color", "#ff0000")
        run.next_frames(2)
        assert all(room_is(frame, (255, 0, 0)) for frame in run.next_frames(5))
        run.control.set({"color": False, "blur.strength": 1})
        run.next_frames(2)
        assert not any(room_is(frame, (255, 0, 0)) for frame in run.next_frames(3))
        assert all(room_is_hidden(frame) for frame in run.sink.frames[:10])


def test_a_thousand_changes_in_haste_let_no_room_and_no_half_made_frame_out(
    tmp_path: Path,
) -> None:
    cv2.imwrite(str(tmp_path / "room.png"), np.full((90, 160, 3), (0, 160, 0), np.uint8))
    dice = random.Random(7)
    choices: list[Callable[[], dict[str, object]]] = [
        lambda: {"color.color": f"#{dice.randrange(64):02x}40{dice.randrange(64):02x}"},
        lambda: {"color": True, "image": False},
        lambda: {"image.path": str(tmp_path / "room.png")},
        lambda: {"image": False, "color": True},
        lambda: {"mirror": dice.random() < 0.5},
        lambda: {"feather": dice.randrange(4), "grow": dice.randrange(-2, 4)},
        lambda: {"engine": dice.choice(["one", "two"])},
        lambda: {"source": dice.choice(["first", "second"])},
        lambda: {"paused": dice.random() < 0.3},
        lambda: {"image.path": str(tmp_path / "missing.png")},
        lambda: {"engine": "none"},
    ]
    sources = {name: MemorySource([frame_of()], fps=100, live=True) for name in ("first", "second")}
    done = refused = 0
    with running(sources=sources, backends={"two": FakeBackend()}) as run:
        run.next_frames()
        for _ in range(1000):
            change = dice.choice(choices[:6] if dice.random() < 0.95 else choices)()
            try:
                run.control.set(change)
                done += 1
            except VcamError:
                refused += 1
        run.control.set({"paused": False, "color.color": "#102030"})
        assert until(lambda: sum(map(shows_person, run.sink.frames)) > 20)
        sent = list(run.sink.frames)
    assert done > 900
    assert refused > 5
    assert all(room_is_hidden(frame) for frame in sent)
    pictures = [frame for frame in sent if shows_person(frame)]
    indices = [frame.index for frame in pictures]
    assert indices == sorted(indices)


def test_the_room_is_not_sent_once_it_is_to_be_hidden_also_if_the_camera_stops() -> None:
    source = FakeSource(camera(2000), live=True, fps=100)
    with running(["none"], {"first": source}) as run:
        assert until(lambda: any(not room_is_hidden(frame) for frame in run.sink.frames))
        assert not run.backends["one"].openings, "no engine is needed"
        source._steps.clear()
        source._steps.append(Wait(60))
        run.control.set("color", True)
        after = len(run.sink.frames)
        assert run.control.wanted.to_dict()["effects"][0]["name"] == "color"
        run.next_frames(5)
        assert all(room_is_hidden(frame) for frame in run.sink.frames[after:])
        assert run.backends["one"].open


def test_the_last_effect_of_the_room_cannot_be_switched_off_by_the_way() -> None:
    with running(["blur", "teeth"]) as run:
        with pytest.raises(UsageError, match="write none=on to show it"):
            run.control.set("blur", False)
        run.control.set("none", "on")
        assert [worn.name for worn in run.control.wanted.effects] == ["teeth", "none"]
        run.control.set("blur", "on")
        assert [worn.name for worn in run.control.wanted.effects] == ["teeth", "blur"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"image.path": "/nowhere/room.png", "mirror": True}, "room.png"),
        ({"engine": "broken", "mirror": True}, "fake engine: opening 0 fails"),
        ({"source": "away", "mirror": True}, "away: no such device"),
        ({"source": "busy", "mirror": True}, "busy"),
        ({"blur.strength": 2, "mirror": True}, "not a number from 0 to 1"),
        ({"blurr": True, "mirror": True}, "unknown setting 'blurr'"),
    ],
)
def test_a_change_that_fails_changes_nothing(change: dict[str, object], error: str) -> None:
    busy = FakeSource([], open_error=SourceError("cam: busy"), live=True)
    first: Source = MemorySource([frame_of()], fps=100, live=True)
    sources = {"first": first, "busy": busy}
    with running(sources=sources, backends={"broken": FakeBackend(refuse=range(9))}) as run:
        run.next_frames()
        before = run.control.wanted
        with run.control.events() as events, pytest.raises(VcamError, match=error):
            run.control.set(change)
        assert run.control.wanted == before
        said = events.take(1)
        assert said is not None
        assert said.kind == "refused"
        assert all(shows_person(frame) for frame in run.next_frames(5))
        assert run.pipeline.state == State("running")


def test_another_engine_takes_over_in_a_thread_of_its_own_and_the_old_one_is_closed() -> None:
    other = FakeBackend()
    with running(backends={"two": other}) as run:
        run.next_frames()
        run.control.set("engine", "two")
        assert until(lambda: not run.backends["one"].open)
        runs = run.backends["one"].runs
        assert all(shows_person(frame) for frame in run.next_frames(5))
        assert run.backends["one"].runs == runs
        assert other.threads.isdisjoint(run.backends["one"].threads)
        run.control.set("engine", "one")
        assert until(lambda: not other.open)
        run.next_frames()


def test_an_engine_that_fails_later_is_opened_again_after_a_change() -> None:
    other = FakeBackend(fail_at=10)
    with running(backends={"two": other}) as run:
        run.control.set("engine", "two")
        assert until(lambda: other.openings == 2)
        assert until(lambda: run.pipeline.state == State("running"))
        assert shows_person(run.next_frames(5)[-1])


def test_another_camera_takes_over_and_the_old_one_is_closed() -> None:
    first = FakeSource(camera(2000), live=True, fps=100)
    second = FakeSource([lopsided_frame(), Wait(0.01)] * 2000, live=True, fps=100)
    with running(sources={"first": first, "second": second}) as run:
        run.next_frames()
        run.control.set("source", "second")
        assert until(lambda: first.closed == 1)
        assert second.opened == 1
        dark = run.next_frames(4)[-1]
        assert dark.y[SIZE[1] // 2, SIZE[0] * 3 // 8] < 80
        run.control.set("mirror", True)
        run.next_frames(3)
        assert run.next_frames(1)[0].y[SIZE[1] // 2, SIZE[0] * 5 // 8] < 80
        sent = list(run.sink.frames)
    assert all(room_is_hidden(frame) for frame in sent)


def test_a_camera_that_nobody_looks_at_stays_off_when_it_is_chosen() -> None:
    camera_ = FakeSource(camera(4000), live=True, fps=100)
    sources: dict[str, Source] = {
        "demo": MemorySource([frame_of()], fps=100, live=True),
        "camera": camera_,
    }
    readers = FakeReaders()
    with running(sources=sources, readers=readers) as run:
        run.next_frames()
        run.control.set("source", "camera")
        assert until(lambda: run.pipeline.state == State("idle"))
        assert [camera_.opened, camera_.closed] == [0, 0]
        readers.set(True)
        assert until(lambda: camera_.opened == 1)
        assert until(lambda: run.pipeline.state == State("running"))


def test_a_profile_is_taken_up_while_the_camera_is_away() -> None:
    away = [SourceError("cam: no such device")] * 400
    source = FakeSource(camera(2000), live=True, fps=100, refusals=away)
    with running(sources={"first": source}, backends={"two": FakeBackend()}) as run:
        assert until(lambda: run.pipeline.state.name == "no camera")
        for strength in (0.1, 0.2, 0.3):
            run.control.set({"effects": [f"blur:{strength}"], "engine": "two"})
        run.control.set({"effects": ["color:#ff0000"], "mirror": True})
        source._refusals.clear()
        assert until(lambda: any(map(shows_person, run.sink.frames[-1:])))
        assert room_is(run.next_frames(2)[-1], (255, 0, 0))
        assert all(room_is_hidden(frame) for frame in list(run.sink.frames))


def test_a_pause_sends_a_card_and_closes_the_camera() -> None:
    source = FakeSource([Wait(0.3), *camera(4000)], live=True, fps=100)
    with running(["none"], {"first": source}) as run:
        assert shows_person(run.control.snapshot())
        run.control.set("paused", True)
        after = len(run.sink.frames)
        run.next_frames(2)
        assert all((frame.u == 128).all() for frame in run.sink.frames[after:])
        assert run.pipeline.state == State("paused")
        assert until(lambda: source.closed == 1)
        assert (run.control.snapshot().u == 128).all()
        run.control.toggle("paused")
        assert shows_person(run.control.snapshot()), "no card while the camera opens again"
        assert until(lambda: any(map(shows_person, run.sink.frames[-1:])))
        assert source.opened == 2


def test_an_effect_that_stays_is_not_opened_again(tmp_path: Path) -> None:
    picture = tmp_path / "room.png"
    cv2.imwrite(str(picture), np.full((90, 160, 3), (0, 0, 255), np.uint8))
    with running([f"image:{picture}"]) as run:
        run.next_frames()
        picture.unlink()
        run.control.set("blur.strength", 0.2)
        run.next_frames(2)
        assert room_is(run.next_frames(1)[0], (255, 0, 0))
        run.control.set("image", False)
        with pytest.raises(VcamError, match=r"room\.png"):
            run.control.set("image", True)


def test_what_was_changed_holds_when_the_virtual_camera_was_lost_and_found() -> None:
    with running(backends={"two": FakeBackend()}) as run:
        run.next_frames()
        run.control.set({"color.color": "#ff0000", "engine": "two"})
        run.sink._lose_at.add(len(run.sink.frames) + 3)
        assert until(lambda: run.sink.opened == 2)
        start = len(run.sink.frames)
        assert until(lambda: any(map(shows_person, run.sink.frames[start:])))
        assert room_is(run.next_frames(1)[0], (255, 0, 0))
        assert not run.backends["one"].open


def test_events_tell_what_happened() -> None:
    with running() as run, run.control.events() as events:
        run.control.set("mirror", True)
        assert next(events).data["mirror"] is True
        with pytest.raises(EngineError):
            run.control.set("engine", "none")
        assert next(events).kind == "refused"
        run.control.board.end()
        assert [event.kind for event in events] == ["end"]


def test_no_frame_in_flight_shows_a_room_that_is_hidden_by_now() -> None:
    source = MemorySource([frame_of()], fps=400, live=True)
    with running(["none"], {"first": source}) as run:
        send = run.sink.send

        def slowly(frame: Frame) -> None:
            time.sleep(0.01)  # so that a frame is always on its way
            send(frame)

        run.sink.send = slowly  # type: ignore[method-assign]
        for _ in range(20):
            run.control.set("none", True)
            assert until(lambda: any(not room_is_hidden(f) for f in run.sink.frames[-1:]))
            run.control.set("color", True)
            after = len(run.sink.frames)
            assert all(room_is_hidden(frame) for frame in run.next_frames(4))
            assert all(room_is_hidden(frame) for frame in run.sink.frames[after:])
