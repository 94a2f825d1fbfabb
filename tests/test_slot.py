"""The hand-over between threads."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from vcam.slot import Policy, Slot, SlotClosed, SlotTimeout


def test_newest_wins_replaces_and_counts() -> None:
    slot: Slot[int] = Slot(Policy.NEWEST_WINS)
    for item in (1, 2, 3):
        slot.put(item)
    assert slot.take() == 3
    assert slot.dropped == 2


def test_wait_delivers_every_item_in_order() -> None:
    slot: Slot[int] = Slot(Policy.WAIT)
    with ThreadPoolExecutor(1) as pool:

        def put_all() -> None:
            for item in range(500):
                slot.put(item)

        future = pool.submit(put_all)
        assert [slot.take(5) for _ in range(500)] == list(range(500))
        future.result(5)
    assert slot.dropped == 0


def test_take_times_out() -> None:
    with pytest.raises(SlotTimeout):
        Slot[int](Policy.WAIT).take(0.01)


def test_close_keeps_the_last_item_and_then_ends() -> None:
    slot: Slot[int] = Slot(Policy.WAIT)
    slot.put(7)
    slot.close()
    assert slot.take() == 7
    with pytest.raises(SlotClosed):
        slot.take()


def test_close_with_discard_empties() -> None:
    slot: Slot[int] = Slot(Policy.WAIT)
    slot.put(7)
    slot.close(discard=True)
    with pytest.raises(SlotClosed):
        slot.take()


def test_close_wakes_a_waiting_put_and_a_waiting_take() -> None:
    full: Slot[int] = Slot(Policy.WAIT)
    full.put(1)
    empty: Slot[int] = Slot(Policy.WAIT)
    with ThreadPoolExecutor(2) as pool:
        waiting: list[Future[Any]] = [pool.submit(full.put, 2), pool.submit(empty.take)]
        threading.Event().wait(0.05)
        full.close()
        empty.close()
        assert all(isinstance(future.exception(5), SlotClosed) for future in waiting)


def test_none_is_an_item() -> None:
    slot: Slot[None] = Slot(Policy.WAIT)
    slot.put(None)
    assert slot.take(1) is None
