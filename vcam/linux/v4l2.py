"""Video4Linux2 without a library: what nodes there are, what they can do, and the calls a writer
needs.

Layouts and numbers are those of <linux/videodev2.h>. Everything here raises plain `OSError`;
sources and sinks turn it into their own errors, with the words of `explain`. Importing works on
every system; on one without V4L2 there are simply no nodes.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from vcam.frame import Size
from vcam.linux.procfs import held_by

CAP_VIDEO_CAPTURE = 0x00000001
CAP_VIDEO_OUTPUT = 0x00000002
CAP_DEVICE_CAPS = 0x80000000
BUF_TYPE_CAPTURE = 1
BUF_TYPE_OUTPUT = 2
FIELD_NONE = 1
COLORSPACE_SRGB = 8
XFER_FUNC_SRGB = 2
YCBCR_ENC_601 = 1
QUANTIZATION_LIMITED = 2
PIX_FMT_PRIV_MAGIC = 0xFEEDCAFE  # without it the kernel clears the fields after `priv`

LOOPBACK_DRIVER = "v4l2 loopback"
"""What v4l2loopback says in `v4l2_capability.driver`."""

COMMON_SIZES: tuple[Size, ...] = (
    (1920, 1080),
    (1280, 720),
    (1024, 576),
    (960, 540),
    (848, 480),
    (640, 480),
    (640, 360),
    (320, 240),
    (320, 180),
)
"""The sizes that `list_modes` tries where a driver names a range of sizes instead of a list."""

_CAPABILITY = struct.Struct("=16s32s32sIII12x")
_FMTDESC = struct.Struct("=III32sII12x")
_FRMSIZE = struct.Struct("=III6I8x")
_FRMIVAL = struct.Struct("=IIIII6I8x")
_FORMAT = struct.Struct(
    f"=I{struct.calcsize('P') - 4}x12I152x"
)  # the union holds pointers, so it aligns as they do
_STREAMPARM = struct.Struct("=I4I184x")
_INT = struct.Struct("=i")
_BUFFER = struct.Struct("@5Ill16xIILIII0L")
_OFFSET = 9
"""Place of `v4l2_buffer.m.offset` among the fields."""

_MOST_BUFFERS = 32
_DISCRETE = 1
_READ, _WRITE = 2, 1


def _ioctl_number(direction: int, number: int, size: int) -> int:
    """`_IOC` of <asm-generic/ioctl.h> for the letter V."""
    return direction << 30 | size << 16 | ord("V") << 8 | number


VIDIOC_QUERYCAP = _ioctl_number(_READ, 0, _CAPABILITY.size)
VIDIOC_ENUM_FMT = _ioctl_number(_READ | _WRITE, 2, _FMTDESC.size)
VIDIOC_S_FMT = _ioctl_number(_READ | _WRITE, 5, _FORMAT.size)
VIDIOC_QUERYBUF = _ioctl_number(_READ | _WRITE, 9, _BUFFER.size)
VIDIOC_STREAMON = _ioctl_number(_WRITE, 18, _INT.size)
VIDIOC_S_PARM = _ioctl_number(_READ | _WRITE, 22, _STREAMPARM.size)
VIDIOC_ENUM_FRAMESIZES = _ioctl_number(_READ | _WRITE, 74, _FRMSIZE.size)
VIDIOC_ENUM_FRAMEINTERVALS = _ioctl_number(_READ | _WRITE, 75, _FRMIVAL.size)


class Capability(NamedTuple):
    """What a node says about itself: its driver, the name users know it by, its place, and `CAP_`
    bits.
    """

    driver: str
    card: str
    bus: str
    caps: int


class PixFormat(NamedTuple):
    """The picture format that a driver has taken: `size_image` bytes, `bytes_per_line` in the luma
    plane.
    """

    fourcc: str
    width: int
    height: int
    bytes_per_line: int
    size_image: int


@dataclass(frozen=True, slots=True)
class Mode:
    """One way a camera can deliver pictures; `fps` is 0.0 where the driver does not say."""

    fourcc: str
    width: int
    height: int
    fps: float


@dataclass(frozen=True, slots=True)
class Node:
    """One /dev/video* node.

    problem: why it could not be asked, empty where it could; then `driver` and `bus` are empty.
    """

    path: str
    driver: str = ""
    card: str = ""
    bus: str = ""
    caps: int = 0
    problem: str = ""

    @property
    def is_loopback(self) -> bool:
        """It belongs to v4l2loopback, whichever direction it announces at the moment."""
        return self.driver == LOOPBACK_DRIVER

    @property
    def is_capture(self) -> bool:
        """Pictures can be read from it now. With exclusive_caps=1 a loopback says so only while it
        is written to.
        """
        return bool(self.caps & CAP_VIDEO_CAPTURE)

    @property
    def is_output(self) -> bool:
        """It announces that pictures can be written to it."""
        return bool(self.caps & CAP_VIDEO_OUTPUT)


def list_nodes() -> list[Node]:
    """All /dev/video* nodes in the order of their numbers, those that cannot be asked included."""
    paths = [path for path in Path("/dev").glob("video*") if path.name[5:].isdigit()]
    return [describe_node(str(path)) for path in sorted(paths, key=lambda path: int(path.name[5:]))]


def describe_node(path: str) -> Node:
    """Ask one node what it is; a failure goes into `Node.problem`."""
    try:
        with opened(path) as fd:
            capability = query_capability(fd)
    except OSError as error:
        return Node(path, card=_card_in_sysfs(path), problem=explain(error, path))
    return Node(path, *capability)


def list_modes(path: str) -> list[Mode]:
    """What a camera can deliver, in the driver's order.

    Where the driver names a range of sizes, those of `COMMON_SIZES` inside it are listed, and of a
    range of rates the highest.

    Raises:
        OSError: the node cannot be opened.
    """
    modes = []
    with opened(path) as fd:
        for fourcc in _formats(fd):
            for width, height in _sizes(fd, fourcc):
                modes += [
                    Mode(fourcc, width, height, fps) for fps in _rates(fd, fourcc, (width, height))
                ]
    return modes


@contextmanager
def opened(path: str) -> Iterator[int]:
    """Open a node for as long as the block runs; gives the file descriptor.

    Raises:
        OSError: it cannot be opened, or is not a character device.
    """
    fd = open_node(path)
    try:
        yield fd
    finally:
        os.close(fd)


def open_node(path: str) -> int:
    """Open a node for reading and writing without waiting; the caller closes the file descriptor.

    Raises:
        OSError: it cannot be opened.
    """
    return os.open(path, os.O_RDWR | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))


def query_capability(fd: int) -> Capability:
    """VIDIOC_QUERYCAP, with the bits of this node rather than those of the whole device.

    Raises:
        OSError: the driver refuses, ENOTTY where the file is no V4L2 node.
    """
    driver, card, bus, _version, caps, device_caps = _call(
        fd, VIDIOC_QUERYCAP, _CAPABILITY, b"", b"", b"", 0, 0, 0
    )
    bits = device_caps if caps & CAP_DEVICE_CAPS else caps
    return Capability(_text(driver), _text(card), _text(bus), bits)


def set_output_format(fd: int, fourcc: str, size: Size) -> PixFormat:
    """VIDIOC_S_FMT for writing; returns what the driver made of it.

    The colours are described as webcams describe theirs: sRGB primaries and curve, BT.601 matrix,
    limited range.

    Raises:
        OSError: the driver refuses.
    """
    width, height = size
    fields = _call(
        fd,
        VIDIOC_S_FMT,
        _FORMAT,
        BUF_TYPE_OUTPUT,
        width,
        height,
        fourcc_code(fourcc),
        FIELD_NONE,
        0,
        0,
        COLORSPACE_SRGB,
        PIX_FMT_PRIV_MAGIC,
        0,
        YCBCR_ENC_601,
        QUANTIZATION_LIMITED,
        XFER_FUNC_SRGB,
    )
    _type, width, height, code, _field, bytes_per_line, size_image = fields[:7]
    return PixFormat(fourcc_name(code), width, height, bytes_per_line, size_image)


def set_output_rate(fd: int, fps: float) -> float:
    """VIDIOC_S_PARM for writing; returns the rate that the driver made of it, 0.0 where it does not
    say.

    Raises:
        OSError: the driver refuses.
    """
    period = 1 / Fraction(fps).limit_denominator(1001)
    fields = _call(
        fd, VIDIOC_S_PARM, _STREAMPARM, BUF_TYPE_OUTPUT, 0, 0, period.numerator, period.denominator
    )
    return fields[4] / fields[3] if fields[3] else 0.0


def stream_on_output(fd: int) -> None:
    """VIDIOC_STREAMON for writing.

    Raises:
        OSError: the driver refuses.
    """
    _call(fd, VIDIOC_STREAMON, _INT, BUF_TYPE_OUTPUT)


def buffer_offsets(fd: int) -> tuple[int, ...]:
    """Where in a v4l2loopback's memory its buffers begin, once it has a format; nothing where it
    will not say.
    """
    offsets = []
    with suppress(OSError):  # EINVAL ends the list
        for index in range(_MOST_BUFFERS):
            fields = _call(
                fd, VIDIOC_QUERYBUF, _BUFFER, index, BUF_TYPE_OUTPUT, *[0] * (_OFFSET + 2)
            )
            offsets.append(fields[_OFFSET] & 0xFFFFFFFF)
    return tuple(dict.fromkeys(offsets))


def map_briefly(fd: int, offsets: Iterable[int]) -> None:
    """Map a page of each of those buffers and let go of it again, so that the driver calls them
    mapped.

    Raises:
        OSError: the driver refuses.
    """
    for offset in offsets:
        mmap.mmap(fd, mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ, offset=offset).close()


def lock_writer(fd: int) -> None:
    """Keep other programs that ask for the same lock from writing to a node; closing it ends the
    lock.

    Raises:
        BlockingIOError: another program has the lock.
    """
    import fcntl  # not on Windows

    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def explain(error: OSError, path: str) -> str:
    """The reason and the next step for a failure on `path`, without the path itself."""
    if isinstance(error, PermissionError):
        return "permission denied; join its group: sudo usermod -aG video $USER, then log in again"
    if error.errno in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
        return "no such device; `vcam devices` lists those there are"
    if error.errno == errno.ENOTTY or isinstance(error, IsADirectoryError):
        return "not a video device; `vcam devices` lists those there are"
    if error.errno in (errno.EBUSY, errno.EINVAL, errno.EAGAIN):
        return f"{os.strerror(error.errno)}; {held_by(path)}"
    return os.strerror(error.errno) if error.errno else str(error)


def fourcc_code(name: str) -> int:
    """The number of a four-character code such as "YU12"."""
    return int.from_bytes(name.encode("ascii"), "little")


def fourcc_name(code: int) -> str:
    """The four characters of a code; a big-endian variant keeps only its characters."""
    return (code & 0x7FFFFFFF).to_bytes(4, "little").decode("latin-1").rstrip()


def _formats(fd: int) -> Iterator[str]:
    for index in range(256):
        try:
            fields = _call(fd, VIDIOC_ENUM_FMT, _FMTDESC, index, BUF_TYPE_CAPTURE, 0, b"", 0, 0)
        except OSError:  # EINVAL ends the list
            return
        yield fourcc_name(fields[4])


def _sizes(fd: int, fourcc: str) -> Iterator[Size]:
    for index in range(256):
        try:
            fields = _call(
                fd, VIDIOC_ENUM_FRAMESIZES, _FRMSIZE, index, fourcc_code(fourcc), *[0] * 7
            )
        except OSError:
            return
        kind, (min_w, max_w, step_w, min_h, max_h, step_h) = fields[2], fields[3:]
        if kind != _DISCRETE:  # the list has this one entry
            yield from (
                (width, height)
                for width, height in COMMON_SIZES
                if _in_range(width, min_w, max_w, step_w)
                and _in_range(height, min_h, max_h, step_h)
            )
            return
        yield min_w, max_w  # a discrete entry is just width, height


def _in_range(value: int, low: int, high: int, step: int) -> bool:
    return low <= value <= high and (value - low) % max(step, 1) == 0


def _rates(fd: int, fourcc: str, size: Size) -> list[float]:
    rates: list[float] = []
    for index in range(256):
        try:
            fields = _call(
                fd,
                VIDIOC_ENUM_FRAMEINTERVALS,
                _FRMIVAL,
                index,
                fourcc_code(fourcc),
                *size,
                *[0] * 7,
            )
        except OSError:
            break
        numerator, denominator = fields[5:7]  # of the only, or of the shortest, period
        if numerator:
            rates.append(denominator / numerator)
        if fields[4] != _DISCRETE:
            break
    return rates or [0.0]


def _call(fd: int, number: int, layout: struct.Struct, *values: int | bytes) -> tuple[int, ...]:
    """One ioctl: pack, call, unpack. `query_capability` alone gets bytes among the fields."""
    import fcntl  # not on Windows

    buffer = bytearray(layout.pack(*values))
    fcntl.ioctl(fd, number, buffer, True)
    return layout.unpack(buffer)


def _text(raw: int | bytes) -> str:
    assert isinstance(raw, bytes)
    return raw.split(b"\0", 1)[0].decode("utf-8", "replace")


def _card_in_sysfs(path: str) -> str:
    """The name that the kernel shows without the node being opened, empty where there is none."""
    try:
        return (
            (Path("/sys/class/video4linux") / Path(path).name / "name")
            .read_text(errors="replace")
            .strip()
        )
    except OSError:
        return ""
