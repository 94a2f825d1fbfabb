"""The state of a run is the most serious that its threads said."""

from __future__ import annotations

import pytest

from vcam.state import State, StateBoard
from vcam.stats import Stats


def test_a_run_is_starting_until_all_its_stages_run() -> None:
    board = StateBoard()
    assert board.now == State("starting")
    for stage in ("capture", "infer", "compose"):
        board.say(stage, "starting")
    for stage in ("compose", "capture"):
        board.say(stage, "running")
        assert board.now.name == "starting"
    board.say("infer", "running")
    assert board.now == State("running")


@pytest.mark.parametrize(
    "name", ["idle", "waiting", "effect failed", "no camera", "no engine", "no sink"]
)
def test_what_is_wrong_is_told_with_its_reason_until_it_is_over(name: str) -> None:
    stats = Stats()
    stats.board.say("infer", "running")
    stats.board.say("capture", name, "because")
    assert stats.snapshot().state == State(name, "because")
    assert stats.snapshot().to_dict()["state"] == {"name": name, "reason": "because"}
    assert str(stats.board.now) == f"{name}: because"
    stats.board.say("capture", "running")
    assert stats.board.now == State("running")


def test_the_more_serious_trouble_is_told() -> None:
    board = StateBoard()
    board.say("compose", "no sink", "removed")
    board.say("capture", "no camera", "unplugged")
    assert board.now == State("no sink", "removed")
    assert not board.now.healthy
    assert State("idle").healthy
