"""Apply the presentation metadata of container and codec, all in one
place.

Interlacing, clean aperture, display matrix (rotation and mirroring), pixel aspect ratio, HDR and
wide gamut. FFmpeg's filters do the work; pictures without metadata pass through
unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from vcam.geometry import Box
from vcam.sources import tone

if TYPE_CHECKING:
    from av import VideoFrame
    from av.filter import Graph

_Filters = tuple[tuple[str, str], ...]

_SQUARE = Fraction(1)
_UPSIDE_DOWN: _Filters = (("vflip", ""), ("copy", ""))  # vflip leaves negative line strides
_ODDEST = 20  # a larger pixel aspect ratio is an error of the writer
_NEAREST_DEGREES = 1.0  # rotations close to quarter turns are rounded, as in FFmpeg's command


_QUARTER_TURNS = {  # display matrices, by quarters counterclockwise
    1: (0, -1, 0, 1, 0, 0, 0, 0, 1),
    2: (-1, 0, 0, 0, -1, 0, 0, 0, 1),
    3: (0, 1, 0, -1, 0, 0, 0, 0, 1),
}


@dataclass(frozen=True, slots=True)
class Notes:
    """Presentation metadata of a container, valid for all of its pictures.

    sar: the pixel aspect ratio, width by height. crop: the visible part, in stored pixels; None:
    all.
    """

    sar: Fraction = _SQUARE
    crop: Box | None = None


@dataclass(frozen=True, slots=True)
class _Look:
    """All inputs that determine the filters of a picture; a change needs another graph."""

    width: int
    height: int
    format_name: str
    colorspace: int
    color_range: int
    colours: tuple[int, int, float] | None
    matrix: tuple[int, ...] | None
    interlaced: bool


class Presenter:
    """Converts decoded pictures to those that a player shows; used by the decoding thread.

    Args:
        notes: the container's metadata.
        period: duration of a picture in seconds, for those without a timestamp.
    """

    def __init__(self, notes: Notes, period: Fraction = Fraction(1, 30)) -> None:
        self._notes = notes
        self._period = period
        self._look: _Look | None = None
        self._graph: Graph | None = None
        self._was_interlaced = False
        self._next_pts = 0

    def show(self, picture: VideoFrame) -> Iterator[VideoFrame]:
        """Return the pictures that are ready: usually this one; a deinterlacer delays by one.

        Raises:
            av.FFmpegError, ValueError: FFmpeg cannot filter such pictures.
        """
        look = self._look_of(picture)
        if look != self._look:
            yield from self.rest()
            self._look = look
            self._graph = self._build(look, picture)
        if self._graph is None:
            yield picture
            return
        if picture.pts is None:  # filters with two inputs need one
            picture.pts = self._next_pts
        if picture.time_base:
            self._next_pts = picture.pts + max(1, round(self._period / picture.time_base))
        self._graph.push(picture, at=0)
        yield from _pull(self._graph)

    def rest(self) -> Iterator[VideoFrame]:
        """Return the delayed pictures at the end."""
        graph, self._graph, self._look = self._graph, None, None
        if graph is not None:
            graph.push(None, at=0)
            yield from _pull(graph)

    def _look_of(self, picture: VideoFrame) -> _Look:
        self._was_interlaced |= picture.interlaced_frame
        return _Look(
            picture.width,
            picture.height,
            picture.format.name,
            int(picture.colorspace),
            int(picture.color_range),
            _colours(picture),
            _display_matrix(picture),
            self._was_interlaced,
        )

    def _build(self, look: _Look, picture: VideoFrame) -> Graph | None:
        """Build the filter graph for such pictures; None if no filter is needed."""
        from av.filter import Graph

        notes, size = self._notes, (look.width, look.height)
        filters: _Filters = (
            (("bwdif", "mode=send_frame:deint=interlaced"),) if look.interlaced else ()
        )
        if notes.crop is not None and _is_inside(notes.crop, size):
            crop = notes.crop
            size = (crop.width, crop.height)
            filters += (("crop", f"{size[0]}:{size[1]}:{crop.left}:{crop.top}:exact=1"),)
        filters += _scaled(size, notes.sar)
        if look.matrix is not None:
            filters += _turned(look.matrix)
        if not filters and look.colours is None:
            return None
        base = picture.time_base or Fraction(1, 90_000)
        if not picture.time_base:
            picture.time_base = base
        graph = Graph()
        last = graph.add(
            "buffer",
            f"video_size={look.width}x{look.height}:pix_fmt={look.format_name}:time_base={base}:"
            f"pixel_aspect=1:colorspace={look.colorspace}:range={look.color_range}",
        )
        simple = _simple_format(picture)
        start: _Filters = (("sidedata", "mode=delete:type=DISPLAYMATRIX"),)
        start += (("format", simple),) if simple else ()
        end: _Filters = (("format", "rgb48le"),) if look.colours else ()
        for name, argument in (*start, *filters, *end):
            link = graph.add(name, argument)
            last.link_to(link)
            last = link
        if look.colours is not None:
            table = tone.colour_table(*look.colours)
            clut = graph.add_buffer(
                width=table.width, height=table.height, format=table.format, time_base=base
            )
            mapped = graph.add("haldclut", "interp=tetrahedral")
            last.link_to(mapped, 0, 0)
            clut.link_to(mapped, 0, 1)
            last = graph.add("setparams", "color_primaries=bt709:color_trc=bt709")
            mapped.link_to(last)
        sink = graph.add("buffersink")
        last.link_to(sink)
        graph.configure()
        if look.colours is not None:
            table.pts, table.time_base = 0, base
            graph.push(table, at=1)
            graph.push(None, at=1)
        return graph


def _pull(graph: Graph) -> Iterator[VideoFrame]:
    import av

    while True:
        try:
            yield graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return


def _colours(picture: VideoFrame) -> tuple[int, int, float] | None:
    """(transfer, primaries, peak in nits) of a picture that a BT.709 screen would misrepresent."""
    transfer, primaries = int(picture.color_trc), int(picture.color_primaries)
    if not tone.is_needed(transfer, primaries):
        return None
    return transfer, primaries, _peak_nits(picture) if transfer == tone.PQ else 0.0


def _peak_nits(picture: VideoFrame) -> float:
    """Peak of the mastering display: the last rational number of AVMasteringDisplayMetadata."""
    try:
        numbers = _side_data(picture, "MASTERING_DISPLAY_METADATA")
    except ValueError:
        return 0.0
    if numbers is None or len(numbers) < 22:  # 10 rationals: primaries, white, darkest, brightest
        return 0.0
    is_known, peak, unit = numbers[21], numbers[18], numbers[19]
    return float(peak / unit) if is_known and unit else 0.0


def _display_matrix(picture: VideoFrame) -> tuple[int, ...] | None:
    """The display matrix, if it is not the identity."""
    try:
        data = _side_data(picture, "DISPLAYMATRIX")
    except ValueError:  # PyAV 18 fails if there is also side data of an unknown type
        return _QUARTER_TURNS.get(round(picture.rotation / 90) % 4)
    if data is None:
        return None
    numbers = tuple(int(number) for number in data[:9])
    a, b, _, c, d = numbers[:5]
    return None if (a > 0 and d > 0 and not b and not c) or not (a or b) else numbers


def _side_data(picture: VideoFrame, name: str) -> NDArray[np.int32] | None:
    side_data = picture.side_data
    data = side_data.get(name) if len(side_data) else None
    return None if data is None else np.frombuffer(cast("bytes", data), np.int32)


def _turned(matrix: tuple[int, ...]) -> _Filters:
    """The filters that FFmpeg's command inserts for a display matrix (fftools/ffmpeg_filter.c)."""
    a, b, _, c, d = matrix[:5]
    scale_x, scale_y = math.hypot(a, c) or 1, math.hypot(b, d) or 1
    degrees = math.degrees(math.atan2(b / scale_y, a / scale_x)) % 360
    if _is_near(degrees, 90):
        return (("transpose", "cclock_flip" if c > 0 else "clock"),)
    if _is_near(degrees, 270):
        return (("transpose", "clock_flip" if c < 0 else "cclock"),)
    if _is_near(degrees, 180):
        return ((("hflip", ""),) if a < 0 else ()) + (_UPSIDE_DOWN if d < 0 else ())
    if _is_near(degrees, 0):
        return _UPSIDE_DOWN if d < 0 else ()
    return (("rotate", f"{math.radians(degrees):.9f}"),)


def _is_near(degrees: float, turn: int) -> bool:
    return min(abs(degrees - turn), 360 - abs(degrees - turn)) < _NEAREST_DEGREES


def _scaled(size: tuple[int, int], sar: Fraction) -> _Filters:
    """Make pixels square by enlarging in one direction, so that no detail is lost."""
    if sar == _SQUARE or not 1 / _ODDEST <= sar <= _ODDEST:
        return ()
    width, height = size
    wide = 2 * round(width * sar / 2) if sar > 1 else width
    high = height if sar > 1 else 2 * round(height / sar / 2)
    return (("scale", f"{wide}:{high}:flags=bicubic+accurate_rnd"), ("setsar", "1"))


def _is_inside(box: Box, size: tuple[int, int]) -> bool:
    fits = min(box.left, box.top) >= 0 and box.right <= size[0] and box.bottom <= size[1]
    return fits and min(box.width, box.height) >= 2 and (box.width, box.height) != size


def _simple_format(picture: VideoFrame) -> str:
    """The format for pictures that filters would degrade or make opaque; empty: unchanged."""
    if picture.format.has_palette:
        return "rgba"
    if any(part.bits < 8 for part in picture.format.components):
        return "rgb24" if picture.format.is_rgb else "gray"
    return ""
