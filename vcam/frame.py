"""The picture formats that travel through the pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8]
"""uint8 [H, W], one component of a picture."""

Pixels = NDArray[np.unsignedinteger[Any]]
"""uint8 or uint16, [H, W, 3 or 4], RGB or RGBA with straight alpha, full range."""

Size = tuple[int, int]
"""(width, height) in pixels, as users write it: 1280x720."""


class Matrix(Enum):
    """The YCbCr coefficients of a frame (ITU-R BT.601-7 and BT.709-6, section 3)."""

    BT601 = "bt601"
    BT709 = "bt709"

    @property
    def luma(self) -> tuple[float, float, float]:
        """The weights Kr, Kg, Kb of R', G' and B' in luma."""
        return (0.299, 0.587, 0.114) if self is Matrix.BT601 else (0.2126, 0.7152, 0.0722)


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """An upright still picture.

    pixels: read only. H and W may be odd.
    icc: the colour profile of `pixels`; empty: sRGB.
    exif: as in a JPEG's APP1 segment, "Exif" and two zeros first, without orientation and
        thumbnail; empty: none.
    jpeg: quantisation tables and subsampling of the JPEG file that it was; None: it was no JPEG.
    left_out: what its file held besides, in words.
    xmp: the packet, without what is stale in it; empty: none.
    bits: of a colour in its file; 0: as many as those of `pixels`.
    damage: one line about what of it could not be read; empty: nothing.
    """

    pixels: Pixels
    icc: bytes = b""
    exif: bytes = b""
    jpeg: tuple[dict[int, list[int]], int] | None = None
    left_out: tuple[str, ...] = ()
    xmp: bytes = b""
    bits: int = 0
    damage: str = ""

    @property
    def size(self) -> Size:
        """(width, height) in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def depth(self) -> int:
        """Bits of a colour: 8 or 16."""
        return self.pixels.dtype.itemsize * 8


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture as I420, limited range (luma 16..235, chroma 16..240), in one contiguous buffer.

    data: uint8 [H * 3 / 2, W], C-contiguous; the luma plane, then Cb, then Cr, each chroma plane [H
        / 2, W / 2]. Width and height are even. The frame owns it: receivers may read it for as long
        as they like, and no one writes to it after it is handed over.
    matrix: the YCbCr coefficients.
    t_capture_ns: `time.monotonic_ns()` when the picture reached this program; latency is measured
        from here.
    index: number of the frame, counted by the source from 0.
    alpha: uint8 [H, W], 0 transparent .. 255 opaque; None: the picture is opaque.
    pts_ns: presentation time in the source's timeline, 0 at its first frame.
    picture: a still source's picture at full size and depth, for sinks that write pictures. It
        shows the same as the frame: `Composer` updates both.
    duration_ns: how long the source shows it; 0: until the next one, or for a frame period.
    """

    data: Plane
    matrix: Matrix
    t_capture_ns: int = 0
    index: int = 0
    alpha: Plane | None = None
    pts_ns: int = 0
    duration_ns: int = 0
    picture: Picture | None = None

    @classmethod
    def empty(
        cls, size: Size, matrix: Matrix, t_capture_ns: int = 0, index: int = 0, pts_ns: int = 0
    ) -> Frame:
        """An uninitialised frame of `size`.

        Raises:
            ValueError: width or height is odd or not positive.
        """
        width, height = size
        if width <= 0 or height <= 0 or width % 2 or height % 2:
            raise ValueError(f"frame size {width}x{height}: both must be even and positive")
        data = np.empty((height * 3 // 2, width), np.uint8)
        return cls(data, matrix, t_capture_ns, index, pts_ns=pts_ns)

    @property
    def size(self) -> Size:
        """(width, height) in pixels."""
        return self.data.shape[1], self.data.shape[0] * 2 // 3

    @property
    def y(self) -> Plane:
        """uint8 [H, W], a view of the luma plane, 16..235."""
        return self.data[: self.data.shape[0] * 2 // 3]

    @property
    def u(self) -> Plane:
        """uint8 [H / 2, W / 2], a view of the Cb plane, 16..240, 128 is grey."""
        return self._chroma(0)

    @property
    def v(self) -> Plane:
        """uint8 [H / 2, W / 2], a view of the Cr plane, 16..240, 128 is grey."""
        return self._chroma(1)

    @property
    def chroma(self) -> Plane:
        """uint8 [H, W / 2], a view of both chroma planes, Cb above Cr."""
        height, width = self.data.shape[0] * 2 // 3, self.data.shape[1]
        return self.data[height:].reshape(height, width // 2)

    def _chroma(self, which: int) -> Plane:
        width, height = self.size
        count = width * height // 4
        start = width * height + which * count
        flat = self.data.reshape(-1)[start : start + count]
        return np.asarray(flat.reshape(height // 2, width // 2), np.uint8)

    @property
    def planes(self) -> tuple[Plane, Plane, Plane]:
        """Views of the luma, Cb and Cr planes."""
        return self.y, self.u, self.v


@dataclass(frozen=True, slots=True)
class Matte:
    """How much of each pixel is person.

    alpha: uint8 [h, w] in the engine's own resolution, 0 room .. 255 person, covering the whole
        frame.
    """

    alpha: Plane


class FaceClass(IntEnum):
    """The planes of a face engine, in order. Left is the left side of the picture."""

    BACKGROUND = 0
    PERSON = 1
    SKIN = 2
    LEFT_BROW = 3
    RIGHT_BROW = 4
    LEFT_EYE = 5
    RIGHT_EYE = 6
    LIPS = 7
    TEETH = 8


@dataclass(frozen=True, slots=True)
class FaceGates:
    """Openings for effects drawn from the mesh, reduced where something covers the face.

    mouth, eyes: uint8 [h, w] in the pixels of `FaceRegions.probs`, 0 shut .. 255 open.
    mouth_seen: 0..1, the share of the mouth that the parser sees.
    """

    mouth: Plane
    eyes: Plane
    mouth_seen: float


@dataclass(frozen=True, slots=True)
class FaceRegions:
    """The parts of one face.

    probs: uint8 [C, h, w], a plane per FaceClass in the crop's pixels, summing to about 255; read
        only. All zero until the face is first parsed.
    to_frame: float64 [2, 3], from the crop's (x, y, 1) to the frame's (x, y); pixel centres lie at
        +0.5 in both.
    presence: 0..1, strength of effects on this face: below 1 while it appears or disappears.
    points: float32 [478, 3], the mesh: x, y in frame pixels, z in the same unit, smaller towards
        the camera; read only. None if only a parser sees the face.
    gates: given with a mesh and a parse; else None.
    """

    probs: NDArray[np.uint8]
    to_frame: NDArray[np.float64]
    presence: float = 1.0
    points: NDArray[np.float32] | None = None
    gates: FaceGates | None = None
