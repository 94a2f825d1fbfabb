"""Backends made of backends: who serves, when it changes, and in which thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest

from vcam.backends.composed import FirstOf, SwappingBackend
from vcam.backends.fake import FakeBackend
from vcam.errors import EngineError

IMAGE = {"image": np.zeros((1, 64, 64, 3), np.uint8)}


class Named(FakeBackend):
    """A fake that can refuse to open until it is ready."""

    def __init__(self, name: str, reason: str = "", size: tuple[int, int] = (64, 64)) -> None:
        super().__init__(size=size)
        self.name, self.reason = name, reason
        self.entered: list[int] = []

    def __enter__(self) -> Named:
        self.entered.append(threading.get_ident())
        if self.reason:
            raise EngineError(self.reason)
        super().__enter__()
        return self


def swapping(
    better: Named, prepare: Callable[[threading.Event], object], refused: list[str] | None = None
) -> tuple[SwappingBackend, Named]:
    first = Named("slow")
    refused = [] if refused is None else refused
    return SwappingBackend(first, better, prepare, refused.append), first


def test_the_first_that_opens_serves_and_the_others_give_reasons() -> None:
    good = Named("good")
    with FirstOf([Named("bad", "no cuDNN"), good, Named("unused")], {"worse": "no GPU"}) as backend:
        assert backend.name == "good"
        backend.run(IMAGE)
        assert backend.about() == {
            "backend": "good",
            "engine": "fake",
            "refused": {"worse": "no GPU", "bad": "no cuDNN"},
        }
    assert good.runs == 1
    assert not good.open
    assert backend.about()["backend"] == "good", "a closed one still reports"


def test_when_none_opens_the_last_reason_is_the_error() -> None:
    with pytest.raises(EngineError, match=r"^also broken$"):
        FirstOf([Named("a", "broken"), Named("b", "also broken")]).__enter__()


def test_what_is_ready_serves_at_once() -> None:
    backend, first = swapping(Named("fast"), lambda _: pytest.fail("nothing to prepare"))
    with backend:
        assert backend.name == "fast"
        assert "refused" not in backend.about()
    assert first.entered == []


def test_the_swap_happens_between_two_runs_in_the_owners_thread() -> None:
    better = Named("fast", "no plan yet")
    go, preparing = threading.Event(), []

    def prepare(_: threading.Event) -> None:
        go.wait(10)
        preparing.append(threading.get_ident())

    backend, first = swapping(better, prepare)
    with backend:
        backend.run(IMAGE)
        assert (backend.name, first.runs) == ("slow", 1)
        assert backend.about()["refused"] == {"fast": "being prepared"}
        better.reason = ""
        go.set()
        assert backend._thread is not None
        backend._thread.join(10)
        assert better.entered == [threading.get_ident()], "prepared, but only a run opens it"
        assert first.open
        backend.run(IMAGE)
        assert (backend.name, first.runs, better.runs) == ("fast", 1, 1)
        assert not first.open
        assert better.open
        assert "refused" not in backend.about()
    assert preparing != [threading.get_ident()]
    assert set(better.entered) == first.threads == better.threads == {threading.get_ident()}
    assert not better.open


@pytest.mark.parametrize("error", [EngineError("does not parse"), RuntimeError("surprise")])
def test_a_preparation_that_fails_leaves_the_first_serving(error: Exception) -> None:
    def prepare(_: threading.Event) -> None:
        raise error

    refused: list[str] = []
    backend, first = swapping(Named("fast", "no plan yet"), prepare, refused)
    with backend:
        assert backend._thread is not None
        backend._thread.join(10)
        backend.run(IMAGE)
        assert backend.about()["refused"] == {"fast": str(error)}
    assert first.runs == 1
    assert refused == []


@pytest.mark.parametrize("size", [(64, 64), (32, 32)])
def test_one_that_is_prepared_but_does_not_fit_is_refused_once(size: tuple[int, int]) -> None:
    better = Named("fast", "no plan yet", size)
    refused: list[str] = []
    backend, first = swapping(better, lambda _: None, refused)
    with backend:
        assert backend._thread is not None
        backend._thread.join(10)
        better.reason = "wrong card" if size == (64, 64) else ""
        for _ in range(3):
            backend.run(IMAGE)
    assert first.runs == 3
    assert refused == [
        (
            "wrong card"
            if size == (64, 64)
            else "its inputs or outputs are not those of the engine that serves"
        )
    ]
    assert len(better.entered) == 2
    assert not better.open


def test_closing_stops_the_preparation() -> None:
    stopped = threading.Event()

    def prepare(cancel: threading.Event) -> None:
        cancel.wait(10)
        stopped.set()
        raise EngineError("was stopped")

    backend, first = swapping(Named("fast", "no plan yet"), prepare)
    with backend:
        pass
    assert stopped.is_set()
    assert not first.open
    backend.__exit__(None, None, None)


def test_a_backend_that_failed_at_work_is_tried_last_when_opened_again() -> None:
    fast, slow = Named("fast"), Named("slow")
    fast._fail_at = {1}
    backend = FirstOf([fast, slow])
    with backend:
        backend.run(IMAGE)
        with pytest.raises(EngineError, match="run 1"):
            backend.run(IMAGE)
    with backend:
        assert backend.name == "slow"
        assert backend.about()["refused"] == {"fast": "fake engine: run 1 fails as asked"}
    slow.reason = "no memory"
    with backend:
        assert backend.name == "fast", "better than none"


def test_a_better_one_that_failed_at_work_is_left_alone_when_opened_again() -> None:
    better = Named("fast")
    better._fail_at = {0}
    backend, first = swapping(better, lambda _: pytest.fail("nothing to prepare"))
    with backend, pytest.raises(EngineError, match="run 0"):
        backend.run(IMAGE)
    with backend:
        assert backend.name == "slow"
        backend.run(IMAGE)
        assert backend.about()["refused"] == {"fast": "fake engine: run 0 fails as asked"}
    assert (first.runs, len(better.entered)) == (1, 1)
