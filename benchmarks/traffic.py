"""How many bytes of pictures one frame moves through memory, counted, not timed.

    python -m benchmarks.traffic talk_720p.mp4

Counts what OpenCV's functions and the tiles read and write, from a captured frame to the picture
that leaves, the engine apart. Small NumPy operations on the low frame are not seen. The least that
any program must move is the frame read once and the picture written once.
"""

from __future__ import annotations

import argparse
import importlib
import types
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import numpy as np

from vcam.assemble import open_matter
from vcam.catalogue import DEFAULT_ENGINE
from vcam.effects import make_effects
from vcam.effects.composer import Composer
from vcam.frame import Frame
from vcam.matting.matter import MatteEngine
from vcam.matting.pyramid import Pyramid
from vcam.matting.refine import RefineConfig
from vcam.matting.tiles import Tiles
from vcam.monitor import Stats

MODULES = tuple(
    f"vcam.{name}"
    for name in (
        "colour",
        "effects.blend",
        "effects.blur",
        "effects.room",
        "matting.matter",
        "matting.pyramid",
        "matting.refine",
        "matting.smooth",
    )
)
"""Where a frame's pixels are worked on."""


class Traffic:
    """Counts while `counted` is open.

    Attributes:
        calls: of OpenCV and of tiles.
        moved_bytes: read and written.
        full_passes: calls that read or write a whole luma plane, or more.
    """

    def __init__(self, frame: Frame) -> None:
        self._plane_bytes = frame.y.size
        self.frame_bytes = frame.data.size
        self.calls = self.moved_bytes = self.full_passes = 0

    def note(self, *arrays: object) -> None:
        """One call, and the arrays that it reads or writes."""
        sizes = [array.nbytes for array in arrays if isinstance(array, np.ndarray)]
        self.calls += 1
        self.moved_bytes += sum(sizes)
        self.full_passes += max(sizes, default=0) >= self._plane_bytes

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count what happens inside."""
        with ExitStack() as stack:
            for name in MODULES:
                module = importlib.import_module(name)
                for library in ("cv2", "np"):
                    real = getattr(module, library, None)
                    if real is not None:
                        watched = self._watched(real, {"copyto"} if library == "np" else None)
                        stack.enter_context(mock.patch.object(module, library, watched))
            stack.enter_context(self._tiles())
            yield

    def _watched(self, real: Any, only: set[str] | None) -> types.SimpleNamespace:
        """A module whose functions, or only some, count their arrays."""

        def counting(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **named: Any) -> Any:
                result = function(*args, **named)
                arrays = [x for x in (*args, *named.values()) if isinstance(x, np.ndarray)]
                known = any(result is x for x in arrays)
                self.note(*arrays, None if known else result)
                return result

            return call

        members = {}
        for name in dir(real):
            member = getattr(real, name)
            plain = callable(member) and not isinstance(member, type)
            members[name] = counting(member) if plain and (only is None or name in only) else member
        return types.SimpleNamespace(**members)

    @contextmanager
    def _tiles(self) -> Iterator[None]:
        of, put = Tiles.of, Tiles.put

        def counted_of(tiles: Tiles, plane: Any) -> Any:
            pixels = of(tiles, plane)
            self.note(pixels, pixels)  # read there, written here
            return pixels

        def counted_put(tiles: Tiles, plane: Any, pixels: Any) -> None:
            self.note(pixels, pixels)
            put(tiles, plane, pixels)

        with (
            mock.patch.object(Tiles, "of", counted_of),
            mock.patch.object(Tiles, "put", counted_put),
        ):
            yield


def traffic_of(frames: list[Frame], matter: MatteEngine, effect: str) -> Traffic:
    """Of the last frame, with the others before it. matter: open."""
    traffic = Traffic(frames[-1])
    with Composer(
        make_effects([effect]), RefineConfig(), Stats(), transparent=False, live=False
    ) as composer:
        for frame in frames:
            with traffic.counted() if frame is frames[-1] else ExitStack():
                pyramid = Pyramid.of(frame)
                composer.compose(frame, pyramid, matter.matte(frame, pyramid))
    return traffic


def main() -> None:
    """Count."""
    from benchmarks.stages import read_frames

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--engine", default=DEFAULT_ENGINE)
    parser.add_argument("--effect", default="blur")
    options = parser.parse_args()
    with open_matter(options.engine, (), "onnxruntime", 1) as matter:
        for source in options.sources:
            traffic = traffic_of(read_frames(source)[:10], matter, options.effect)
            least = 2 * traffic.frame_bytes
            print(
                f"{source}: {traffic.moved_bytes / 1e6:.1f} MB in {traffic.calls} calls, "
                f"{traffic.moved_bytes / least:.1f} times the least ({least / 1e6:.1f} MB); "
                f"{traffic.full_passes} calls over a whole plane"
            )


if __name__ == "__main__":
    main()
