"""What every effect promises."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from vcam.effects.pool import FramePool
from vcam.frame import FaceRegions, Frame
from vcam.matting.pyramid import LowFrame
from vcam.matting.refine import Mask


@dataclass(frozen=True, slots=True)
class Scene:
    """What an effect sees of one moment.

    frame: the picture so far: captured, or changed by the effects before this one. Not to be
        written to.
    low: the same picture, shrunk. mask: where the person is. time_ns: for effects that move; starts
        anywhere, grows.
    transparent: the sink keeps `Frame.alpha`. live: somebody watches now, so nothing may be waited
        for.
    faces: the faces of this very frame. pool: where new frames come from.
    """

    frame: Frame
    low: LowFrame
    mask: Mask
    time_ns: int
    transparent: bool = False
    live: bool = False
    faces: tuple[FaceRegions, ...] = ()
    pool: FramePool = field(default_factory=FramePool)

    def new_frame(self) -> Frame:
        """An uninitialised frame with the size, matrix and times of `frame`, for the effect to fill
        and return.
        """
        return self.pool.like(self.frame)


class Effect(Protocol):
    """Turns a picture into another one. One thread opens, applies and closes."""

    needs_matte: bool
    """Whether `Scene.mask` is looked at; with no such effect in the chain no person engine runs."""
    about_room: bool
    """Whether it decides what is seen of the room; if no effect of a run does, the room
    is blurred.
    """
    needs_face: bool
    """Whether `Scene.faces` is looked at; with no such effect in the chain no face engine runs."""

    def __enter__(self) -> Self:
        """Read what the effect needs (a picture, a video).

        Raises:
            VcamError: it cannot be read.
        """

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release everything; may be called twice."""

    def apply(self, scene: Scene) -> Frame:
        """The changed picture: a new frame of the same size, matrix and times, or `scene.frame`
        itself.
        """


class Stateless:
    """An effect that holds nothing; base of those."""

    about_room = False
    needs_matte = True
    needs_face = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass


def copy_pixels(source: Frame, out: Frame) -> None:
    """Copy all planes; the frames are of one size."""
    out.data[:] = source.data
