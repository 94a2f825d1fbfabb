"""A webcam, through FFmpeg: v4l2 on Linux, dshow on Windows, avfoundation on macOS."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from vcam.errors import SourceLost
from vcam.frame import Frame, Matrix, Size
from vcam.sources.base import SourceRequest
from vcam.sources.camera import Camera, Find, OpenCamera
from vcam.sources.common import SourceBase
from vcam.sources.convert import FrameMaker
from vcam.sources.fit import even

DEFAULT_SIZE: Size = (1280, 720)

_POLL_S, _EARLY_S, _LONGEST_NAP_S = 0.002, 0.004, 0.1
"""Cameras keep their rate within a millisecond or two, so polling earlier only costs power."""


class WebcamSource(SourceBase):
    """Delivers the newest picture of a webcam. When entered again, it searches for the camera that
    it had before.

    Args:
        where: "/dev/video2" or "2" on Linux, a device name elsewhere; empty: the first camera.
        request: the pipeline's requirements; default size 1280x720, or the camera's nearest
            mode.
        open_camera: opens the camera.
        remember: maps the path of an open camera to a function that finds it again.
        no_frame_timeout_s: a camera without a picture for this long counts as lost.
    """

    on_demand = True
    """Opened only while a program reads the virtual camera."""

    def __init__(
        self,
        where: str,
        request: SourceRequest,
        open_camera: OpenCamera | None = None,
        no_frame_timeout_s: float = 5.0,
        remember: Callable[[str], Find] | None = None,
    ) -> None:
        super().__init__(where or "webcam", request, live=True)
        self._where = where
        self._open_camera = open_camera
        self._timeout_s = no_frame_timeout_s
        self._remember = remember or _remember
        self._find: Find | None = None
        self._camera: Camera | None = None
        self._maker: FrameMaker | None = None
        self._t_first_ns = self._last_ns = 0

    def _open(self) -> None:
        if self._open_camera is None:
            from vcam.sources.ffmpeg_camera import open_camera

            self._open_camera = open_camera
        wanted = self._request.size or DEFAULT_SIZE
        where = self._find() if self._find is not None else self._where
        camera = self._camera = self._open_camera(where, wanted, self._request.fps)
        if self._find is None:
            self._find = self._remember(camera.path)
        # UVC 1.5 section 3.9.2.6 and JFIF: BT.601, at every size
        self._maker = FrameMaker(self._request, unlabelled=Matrix.BT601, name=camera.path)
        self.name = camera.path
        self.fps = camera.fps or self._request.fps
        self.size = self._request.size or even(camera.size)
        self._maker.size = self.size
        asked = f"{wanted[0]}x{wanted[1]} at {self._request.fps:g} fps"
        given = f"{camera.size[0]}x{camera.size[1]} {camera.format_name} at {self.fps:g} fps"
        self.mode = f"asked for {asked}, got {given}"

    def read(self) -> Frame | None:
        """The newest frame; None after `interrupt`.

        Raises:
            SourceLost: the camera is gone, or delivered no picture before the timeout.
        """
        assert self._maker is not None
        deadline = time.monotonic() + self._timeout_s
        while not self._stop.is_set() and self._camera is not None:
            shot = self._camera.poll()
            if shot is not None:
                self._t_first_ns = self._t_first_ns or shot.t_capture_ns
                self._last_ns = shot.t_capture_ns
                pts_ns = shot.t_capture_ns - self._t_first_ns
                return self._maker.make(shot.picture, shot.t_capture_ns, self._next_index(), pts_ns)
            if time.monotonic() > deadline:
                text = (
                    f"no picture for {self._timeout_s:g} s; unplug the camera and plug it in again"
                )
                raise SourceLost(f"{self.name}: {text}")
            self._stop.wait(self._nap_s())
        return None

    def _nap_s(self) -> float:
        """Time to sleep before polling: until shortly before the next picture is due, then in short
        steps.
        """
        due_s = self._last_ns / 1e9 + 1 / self.fps - _EARLY_S - time.monotonic()
        return min(max(_POLL_S, due_s), _LONGEST_NAP_S)

    def close(self) -> None:
        """Release the camera. May be called twice, and without having opened."""
        if self._camera is not None:
            self._camera.close()
            self._camera = None


def _remember(path: str) -> Find:
    """On Linux, identify the camera by its properties; elsewhere by its name."""
    if sys.platform != "linux":
        return lambda: path
    from vcam.linux.camera_identity import find_again, identify

    camera = identify(path)
    return lambda: find_again(camera) if camera is not None else path


def list_cameras() -> list[tuple[str, str]]:
    """(what to give as `--source webcam:...`, the name that people know) of every camera, the
    default first.
    """
    if sys.platform == "linux":
        from vcam.linux.v4l2 import list_nodes

        nodes = [node for node in list_nodes() if node.is_capture]
        return [(node.path, node.card) for node in sorted(nodes, key=lambda node: node.is_loopback)]
    from vcam.sources.ffmpeg_camera import device_names

    return [(name, name) for name in device_names()]
