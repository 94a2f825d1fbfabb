"""Turn a captured frame and its matte into the output picture."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Self

import numpy as np

from vcam.effects.base import Effect, Scene
from vcam.effects.face import FaceEffect
from vcam.effects.pool import FramePool
from vcam.errors import MatteMissing
from vcam.frame import FaceRegions, Frame, Matte
from vcam.matting.pyramid import Pyramid
from vcam.matting.refine import Mask, RefineConfig, refine
from vcam.matting.smooth import MatteSmoother
from vcam.monitor import Stats
from vcam.pictures import renewed


class Composer:
    """Applies effects in order; used by one thread.

    Args:
        effects: at least one.
        config: refinement of the matte.
        stats: receives the times of "refine" and "effects".
        transparent: the sink keeps `Frame.alpha`.
        live: animated effects follow the clock instead of the frames' timeline, and never wait.
        smoother: smooths mattes over time; None: a new one.

    Attributes:
        mask: of the last composed frame; None if no effect uses the mask.
    """

    def __init__(
        self,
        effects: Sequence[Effect],
        config: RefineConfig,
        stats: Stats,
        *,
        transparent: bool,
        live: bool,
        smoother: MatteSmoother | None = None,
    ) -> None:
        self._effects = list(effects)
        self._config = config
        self._stats = stats
        self._transparent = transparent
        self._live = live
        self._smoother = smoother or MatteSmoother()
        self._pool = FramePool()
        self._resources = ExitStack()
        self.mask: Mask | None = None

    @property
    def needs_matte(self) -> bool:
        """Whether any effect uses the matte."""
        return any(effect.needs_matte for effect in self._effects)

    @property
    def needs_face(self) -> bool:
        """Whether any effect uses faces."""
        return any(effect.needs_face for effect in self._effects)

    def __enter__(self) -> Self:
        """Open all effects or none.

        Raises:
            VcamError: a file of an effect cannot be read.
        """
        with ExitStack() as stack:
            for effect in self._effects:
                stack.enter_context(effect)
            self._resources = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._resources.close()

    def forget(self) -> None:
        """Start smoothing afresh, because the source was reopened."""
        self._smoother.reset()

    def compose(
        self,
        frame: Frame,
        pyramid: Pyramid | None,
        matte: Matte | None,
        faces: tuple[FaceRegions, ...] = (),
    ) -> Frame:
        """Compose the output picture.

        Args:
            frame: the captured frame.
            pyramid: of the same frame.
            matte: of the same frame. May be None only if no effect needs it, and the pyramid only
                if no effect needs anything.
            faces: of the same frame.

        Raises:
            MatteMissing: a needed argument is None.
            VcamError: an effect failed.
        """
        if not (self.needs_matte or self.needs_face):
            return frame
        if pyramid is None:
            raise MatteMissing
        mask = self._mask(frame, pyramid, matte)
        time_ns = frame.t_capture_ns if self._live else frame.pts_ns
        scene = Scene(
            frame, pyramid.low, mask, time_ns, self._transparent, self._live, faces, self._pool
        )
        with self._stats.stage("effects"):
            same = True  # apart from faces, which nothing sees in the shrunk picture
            for effect in self._effects:
                if not same and effect.needs_matte:
                    scene = replace(scene, low=Pyramid.of(scene.frame).low)
                out = effect.apply(scene)
                if out is scene.frame:
                    continue
                same = same and isinstance(effect, FaceEffect)
                scene = replace(scene, frame=out, changeable=getattr(effect, "hands_over", False))
        out = replace(scene.frame, duration_ns=frame.duration_ns)
        if frame.picture is None:
            return out
        return replace(out, picture=renewed(frame.picture, frame, out, hides=self.needs_matte))

    def _mask(self, frame: Frame, pyramid: Pyramid, matte: Matte | None) -> Mask:
        """The refined matte; empty if no effect uses it."""
        low = pyramid.low
        if not self.needs_matte:
            return Mask.nobody(np.zeros(low.y.shape, np.uint8))
        if matte is None:
            raise MatteMissing
        with self._stats.stage("refine"):
            smooth = self._smoother.smooth(matte, low.y)
            self.mask = refine(smooth, frame.y, low.y, self._config)
        return self.mask
