"""Send composed frames to a sink; if none arrives in time, a live sink gets the last one again or a
card.
"""

from __future__ import annotations

from collections.abc import Callable

from vcam.clock import CLOCK, Clock
from vcam.frame import Frame, Matrix, Size
from vcam.matting.refine import Mask
from vcam.monitor import IDLE, PAUSED, RUNNING, WAITING, State, Stats
from vcam.pipeline.card import make_card, state_card
from vcam.sinks.base import Sink

_CARD_EVERY_S = 0.1
_IDLE_CARD_EVERY_S = 1.0
_OFF_CARD = "vcam is off"
_OFF = (IDLE, PAUSED)
"""States in which the last picture is no longer shown."""

Shown = Callable[[Frame, Frame | None, Mask | None], None]
"""Called after each sent picture, and for a new one with its frame and mask; runs in the compose
thread, so it must not block.
"""


class Output:
    """Sends composed frames to a sink; used by the compose thread.

    Args:
        sink: open.
        stats: counts sent frames; its board supplies the text of the card and receives the state of
            "compose".
        card_after_s: how long the last frame may be repeated.
        clock: the time source.
        on_sent: called after everything that is sent.
    """

    def __init__(
        self,
        sink: Sink,
        stats: Stats,
        card_after_s: float,
        clock: Clock = CLOCK,
        on_sent: Shown | None = None,
    ) -> None:
        self._sink, self._stats, self._board, self._clock = sink, stats, stats.board, clock
        self._card_after_s, self._on_sent = card_after_s, on_sent
        self._last: Frame | None = None
        self._last_ns = 0
        self._card: tuple[State, Frame] | None = None

    def patience_s(self, fps: float) -> float | None:
        """How long to wait for a new frame, at the source's frame rate, before `send_again`; None:
        no limit.
        """
        if not self._sink.live:
            return None
        if self._board.now.name in _OFF:
            return _IDLE_CARD_EVERY_S
        return 2.0 / fps if self._last is not None else max(_CARD_EVERY_S, 1.0 / fps)

    def send(self, composed: Frame, frame: Frame, mask: Mask | None = None) -> None:
        """Send a new picture, made from `frame` and `mask`.

        Raises:
            SinkLost: the sink no longer accepts frames.
        """
        self._last, self._last_ns = composed, self._clock.now_ns()
        with self._stats.stage("send"):
            self._sink.send(composed)
        self._board.say("compose", RUNNING)
        self._stats.sent(frame.t_capture_ns)
        if self._on_sent is not None:
            self._on_sent(composed, frame, mask)

    def send_again(self, hide: bool = False) -> None:
        """Send the last frame, or the card if the frame may no longer be shown.

        Args:
            hide: the last frame may no longer be shown.

        Raises:
            SinkLost: the sink no longer accepts frames.
        """
        old = self._clock.now_ns() - self._last_ns > self._card_after_s * 1e9
        if old or hide or self._board.now.name in _OFF:
            self._last = None
        if old and self._last_ns and self._board.now.name == RUNNING:
            self._board.say("compose", WAITING, "no new picture comes")
        shown = self._last or self._state_card()
        self._sink.send(shown)
        self._stats.repeated()
        if self._on_sent is not None:
            self._on_sent(shown, None, None)

    def send_off_card(self) -> None:
        """Send the picture that a virtual camera keeps showing after its writer ends.

        Raises:
            SinkLost: the sink no longer accepts frames.
        """
        if self._sink.live:
            self._sink.send(make_card(*self._format(), _OFF_CARD))

    def _state_card(self) -> Frame:
        """The card for the current state; drawn once per state."""
        state = self._board.now
        if self._card is None or self._card[0] != state:
            self._card = state, state_card(*self._format(), state)
        return self._card[1]

    def _format(self) -> tuple[Size, Matrix]:
        return self._sink.size or (1280, 720), self._sink.matrix or Matrix.BT601
