"""The interface of all effects."""

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
    """The input of an effect for one frame.

    frame: the picture so far: captured, or already changed by earlier effects. Read only.
    low: the same picture, shrunk, before any face effect. mask: where the person is.
    time_ns: monotonic time for animated effects, with an arbitrary start.
    transparent: the sink keeps `Frame.alpha`. live: the output has viewers now, so effects must not
        wait.
    faces: the faces of this frame. pool: the source of new frames.
    changeable: `frame` was made by an earlier effect that keeps no reference to it: this one may
        change and return it.
    """

    frame: Frame
    low: LowFrame
    mask: Mask
    time_ns: int
    transparent: bool = False
    live: bool = False
    faces: tuple[FaceRegions, ...] = ()
    pool: FramePool = field(default_factory=FramePool)
    changeable: bool = False

    def new_frame(self) -> Frame:
        """Make an uninitialised frame with the size, matrix and times of `frame`, for the effect to
        fill and return.
        """
        return self.pool.like(self.frame)


class Effect(Protocol):
    """Changes a picture. One thread opens, applies and closes it."""

    needs_matte: bool
    """Whether it uses `Scene.mask`; without such an effect no person engine runs."""
    about_room: bool
    """Whether it decides how much of the room is visible; if no effect of a run does, the room
    is blurred.
    """
    needs_face: bool
    """Whether it uses `Scene.faces`; without such an effect no face engine runs."""

    def __enter__(self) -> Self:
        """Load the effect's files, such as a picture or a video.

        Raises:
            VcamError: one cannot be read.
        """

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release all resources; may be called twice."""

    def apply(self, scene: Scene) -> Frame:
        """Return the changed picture: a new frame of the same size, matrix and times, or
        `scene.frame` itself.
        """


class Stateless:
    """Base class of effects without resources."""

    about_room = False
    needs_matte = True
    needs_face = False
    hands_over = False
    """Whether it keeps no reference to the frames that it makes, so that the next effect may change
    them. Optional in other effects: False if it is missing.
    """

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
    """Copy all planes between frames of the same size."""
    out.data[:] = source.data
