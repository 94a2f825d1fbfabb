"""Changes of a pipeline while it runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2

from vcam.effects.base import Effect, Scene
from vcam.errors import SourceError
from vcam.frame import Frame
from vcam.matting.matter import MatteEngine
from vcam.matting.refine import RefineConfig
from vcam.sources.base import Source, SourceRequest

if TYPE_CHECKING:
    from vcam.pipeline.pipeline import Parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of a running pipeline; None leaves a part as it is.

    effects: all of them, in order; closed, or safe to open twice.
    refine: refinement of the matte.
    matter: another person engine, closed.
    make_source: returns another source.
    mirror: exchange left and right.
    paused: show a card, and close a live source.
    """

    effects: Sequence[Effect] | None = None
    refine: RefineConfig | None = None
    matter: MatteEngine | None = None
    make_source: Callable[[SourceRequest], Source] | None = None
    mirror: bool | None = None
    paused: bool | None = None

    def applied(self, parts: Parts) -> Parts:
        """Return a pipeline's parts after the change."""
        mirror = parts.request.mirror if self.mirror is None else self.mirror
        return replace(
            parts,
            effects=self.effects or parts.effects,
            refine=self.refine or parts.refine,
            matter=self.matter or parts.matter,
            make_source=self.make_source or parts.make_source,
            request=replace(parts.request, mirror=mirror),
        )


class Entered:
    """A source that is already open, with its first frame read; entering it does nothing more.

    See `Source`.
    """

    def __init__(self, source: Source, first: Frame) -> None:
        self._source = source
        self._first: Frame | None = first
        self._is_fresh = True

    def __getattr__(self, name: str) -> object:
        return getattr(self._source, name)

    def __enter__(self) -> Entered:
        if not self._is_fresh:
            self._source.__enter__()
        self._is_fresh = False
        return self

    def __exit__(self, *raised: object) -> None:
        self._first = None
        self._source.__exit__(None, None, None)

    def read(self) -> Frame | None:
        """Return the first frame, then the following ones."""
        first, self._first = self._first, None
        return first if first is not None else self._source.read()


def entered(source: Source) -> Source:
    """Open a source and read its first frame; only then may it replace another source.

    Raises:
        SourceError: it does not open, or delivers no frame.
    """
    with ExitStack() as stack:
        stack.enter_context(source)
        first = source.read()
        if first is None:
            raise SourceError(f"{source.name}: it gave no picture; choose another source")
        stack.pop_all()
    made: Source = Entered(source, first)  # type: ignore[assignment]  # has all of the source's
    return made


class Shared:
    """An effect shared by several chains: the first one opens it, the last one closes it.

    A change of one effect therefore does not affect the others: no picture is read again, and a
    video continues. See `Effect`; opened and closed by any thread, applied by one.
    """

    def __init__(self, effect: Effect) -> None:
        self.needs_matte, self.needs_face = effect.needs_matte, effect.needs_face
        self.about_room = effect.about_room
        self._effect = effect
        self._lock = threading.Lock()
        self._users = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._effect, name)

    def __enter__(self) -> Shared:
        with self._lock:
            if not self._users:
                self._effect.__enter__()
            self._users += 1
        return self

    def __exit__(self, *raised: object) -> None:
        with self._lock:
            self._users = max(0, self._users - 1)
            if not self._users:
                self._effect.__exit__(None, None, None)

    def apply(self, scene: Scene) -> Frame:
        """Return the changed picture."""
        return self._effect.apply(scene)


def flipped(frame: Frame) -> Frame:
    """The frame with left and right exchanged; a new one."""
    out = replace(frame, data=frame.data.copy())
    for plane, target in zip(frame.planes, out.planes, strict=True):
        cv2.flip(plane, 1, dst=target)
    return out if frame.alpha is None else replace(out, alpha=frame.alpha[:, ::-1].copy())
