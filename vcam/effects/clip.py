"""The effect `video`: a moving picture as the background."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from vcam.effects.base import Scene, copy_pixels
from vcam.effects.blend import blend_person
from vcam.errors import SourceError, VcamError, explained
from vcam.frame import Frame
from vcam.slot import Policy, Slot, SlotClosed, SlotTimeout

_PATIENCE_S = 10.0
_LIVE_PATIENCE_S = 0.5
"""Maximum wait for the first picture; a live run sends nothing new meanwhile, and retries
later.
"""
_JOIN_S = 0.2


class Clip:
    """A video, or any file that FFmpeg reads, looped at its own speed. `path`: the file.

    A separate thread decodes one frame ahead, so neither a slow file nor the jump back to the start
    stalls a live picture: if the next frame is late, the last one stays. Without viewers, the
    effect waits for the frame instead.
    """

    about_room = True
    needs_matte = True
    needs_face = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self._forget()

    def _forget(self) -> None:
        """Reset all state, also after a failure, before the effect is opened again."""
        self._slot: Slot[Frame] = Slot(Policy.WAIT)
        self._thread: threading.Thread | None = None
        self._failure: VcamError | None = None
        self._target: Frame | None = None
        self._room: Frame | None = None
        self._next: Frame | None = None
        self._start_ns = 0

    def __enter__(self) -> Self:
        """Raise SourceError if the file cannot be opened."""
        from vcam.sources.base import SourceRequest
        from vcam.sources.file import VideoFile

        self._forget()
        with VideoFile(str(self.path), SourceRequest()) as source:
            if source.read() is None:
                raise SourceError(
                    f"{self.path}: no picture in it; choose another file for the effect 'video'"
                )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._slot.close(discard=True)
        if self._thread is not None:
            self._thread.join(_JOIN_S)

    def apply(self, scene: Scene) -> Frame:
        out = scene.new_frame()
        copy_pixels(self._current(scene), out)
        blend_person(scene.frame, scene.mask, out)
        return out

    def _current(self, scene: Scene) -> Frame:
        """The frame of the clip that is due at the scene's time."""
        if self._room is None:
            self._target = scene.frame
            self._thread = threading.Thread(target=self._decode, name="vcam-clip", daemon=True)
            self._thread.start()
            self._room = self._take(_LIVE_PATIENCE_S if scene.live else _PATIENCE_S)
            self._start_ns = scene.time_ns
        while self._room is not None:
            if self._next is None:
                self._next = self._take(0 if scene.live else _PATIENCE_S)
            if self._next is None or self._start_ns + self._next.pts_ns > scene.time_ns:
                return self._room
            self._room, self._next = self._next, None
        patience_s = _LIVE_PATIENCE_S if scene.live else _PATIENCE_S
        raise self._failure or SourceError(f"{self.path}: gave no picture within {patience_s:g} s")

    def _take(self, timeout_s: float) -> Frame | None:
        try:
            return self._slot.take(timeout_s)
        except (SlotTimeout, SlotClosed):
            if self._failure is not None:
                raise self._failure from None
            return None

    def _decode(self) -> None:
        """Put frames endlessly; the times of each loop continue those of the last one."""
        from vcam.sources.base import SourceRequest
        from vcam.sources.file import VideoFile

        assert self._target is not None
        request = SourceRequest(size=self._target.size, matrix=self._target.matrix)
        offset_ns = 0
        try:
            while True:
                with VideoFile(str(self.path), request) as source:
                    length_ns = 0
                    while (frame := source.read()) is not None:
                        length_ns = frame.pts_ns + frame.duration_ns
                        self._slot.put(_at(frame, offset_ns + frame.pts_ns))
                    offset_ns += length_ns
        except SlotClosed:
            pass
        except VcamError as failure:
            self._failure = failure
        except BaseException as error:  # noqa: BLE001 - a thread must not die unheard
            self._failure = SourceError(f"{self.path}: {explained(error)}")
        finally:
            self._slot.close()


def _at(frame: Frame, pts_ns: int) -> Frame:
    return Frame(frame.data, frame.matrix, frame.t_capture_ns, frame.index, frame.alpha, pts_ns)
