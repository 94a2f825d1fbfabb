"""Video4Linux2: list nodes, their capabilities and modes, and the calls that a writer needs.

Functions raise `OSError`; sources and sinks convert it to their own errors, with the text of
`explain`. The module can be imported on every system; without V4L2 there are no nodes.
"""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from ctypes import Structure, c_int
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from vcam.frame import Size
from vcam.linux import videodev2 as kernel
from vcam.linux.procfs import held_by

LOOPBACK_DRIVER = "v4l2 loopback"
"""The value of `v4l2_capability.driver` for v4l2loopback."""

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
"""The sizes that `list_modes` tries if a driver declares a range of sizes instead of a list."""


class Capability(NamedTuple):
    """Identity of a node: driver, name for users, bus, and `V4L2_CAP_` bits."""

    driver: str
    card: str
    bus: str
    caps: int


class PixFormat(NamedTuple):
    """The picture format chosen by a driver: `size_image` bytes, `bytes_per_line` in the luma
    plane.
    """

    fourcc: str
    width: int
    height: int
    bytes_per_line: int
    size_image: int


@dataclass(frozen=True, slots=True)
class Mode:
    """A mode of a camera; `fps` is 0.0 if the driver does not report it."""

    fourcc: str
    width: int
    height: int
    fps: float


@dataclass(frozen=True, slots=True)
class Node:
    """One /dev/video* node.

    problem: why it could not be queried, with `driver` and `bus` empty; empty without a problem.
    """

    path: str
    driver: str = ""
    card: str = ""
    bus: str = ""
    caps: int = 0
    problem: str = ""

    @property
    def is_loopback(self) -> bool:
        """Whether it belongs to v4l2loopback, whichever direction it announces now."""
        return self.driver == LOOPBACK_DRIVER

    @property
    def is_capture(self) -> bool:
        """Whether pictures can be read from it now. With exclusive_caps=1 a loopback announces that
        only while a program writes to it.
        """
        return bool(self.caps & kernel.V4L2_CAP_VIDEO_CAPTURE)

    @property
    def is_output(self) -> bool:
        """Whether it announces that pictures can be written to it."""
        return bool(self.caps & kernel.V4L2_CAP_VIDEO_OUTPUT)


def list_nodes() -> list[Node]:
    """List all /dev/video* nodes by number, including those that cannot be queried."""
    paths = [path for path in Path("/dev").glob("video*") if path.name[5:].isdigit()]
    return [describe_node(str(path)) for path in sorted(paths, key=lambda path: int(path.name[5:]))]


def describe_node(path: str) -> Node:
    """Query one node; a failure is reported in `Node.problem`."""
    try:
        with opened(path) as fd:
            capability = query_capability(fd)
    except OSError as error:
        return Node(path, card=_card_in_sysfs(path), problem=explain(error, path))
    return Node(path, *capability)


def list_modes(path: str) -> list[Mode]:
    """List a camera's modes, in the driver's order.

    A range of sizes is replaced by the `COMMON_SIZES` inside it, and a range of rates by the
    highest one.

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
    """Open a node while the block runs; yields the file descriptor.

    Raises:
        OSError: it cannot be opened, or is not a character device.
    """
    fd = open_node(path)
    try:
        yield fd
    finally:
        os.close(fd)


def open_node(path: str) -> int:
    """Open a node for reading and writing, non-blocking; the caller closes the file descriptor.

    Raises:
        OSError: it cannot be opened.
    """
    return os.open(path, os.O_RDWR | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))


def query_capability(fd: int) -> Capability:
    """VIDIOC_QUERYCAP, with the capabilities of this node rather than of the whole device.

    Raises:
        OSError: the driver refuses; ENOTTY if the file is not a V4L2 node.
    """
    found = kernel.v4l2_capability()
    _call(fd, kernel.VIDIOC_QUERYCAP, found)
    has_device_caps = found.capabilities & kernel.V4L2_CAP_DEVICE_CAPS
    bits = found.device_caps if has_device_caps else found.capabilities
    return Capability(_text(found.driver), _text(found.card), _text(found.bus_info), bits)


def set_output_format(fd: int, fourcc: str, size: Size) -> PixFormat:
    """VIDIOC_S_FMT for writing; returns the format chosen by the driver.

    The colours are labelled as by webcams: sRGB primaries and transfer curve, BT.601 matrix,
    limited range.

    Raises:
        OSError: the driver refuses.
    """
    width, height = size
    wanted = kernel.v4l2_format(type=kernel.V4L2_BUF_TYPE_VIDEO_OUTPUT)
    wanted.fmt.pix = kernel.v4l2_pix_format(
        width=width,
        height=height,
        pixelformat=fourcc_code(fourcc),
        field=kernel.V4L2_FIELD_NONE,
        colorspace=kernel.V4L2_COLORSPACE_SRGB,
        priv=kernel.V4L2_PIX_FMT_PRIV_MAGIC,  # else the kernel clears the fields after `priv`
        ycbcr_enc=kernel.V4L2_YCBCR_ENC_601,
        quantization=kernel.V4L2_QUANTIZATION_LIM_RANGE,
        xfer_func=kernel.V4L2_XFER_FUNC_SRGB,
    )
    _call(fd, kernel.VIDIOC_S_FMT, wanted)
    got = wanted.fmt.pix
    return PixFormat(
        fourcc_name(got.pixelformat), got.width, got.height, got.bytesperline, got.sizeimage
    )


def set_output_rate(fd: int, fps: float) -> float:
    """VIDIOC_S_PARM for writing; returns the rate chosen by the driver, 0.0 if unknown.

    Raises:
        OSError: the driver refuses.
    """
    period = 1 / Fraction(fps).limit_denominator(1001)
    wanted = kernel.v4l2_streamparm(type=kernel.V4L2_BUF_TYPE_VIDEO_OUTPUT)
    wanted.parm.output.timeperframe = kernel.v4l2_fract(period.numerator, period.denominator)
    _call(fd, kernel.VIDIOC_S_PARM, wanted)
    got = wanted.parm.output.timeperframe
    return got.denominator / got.numerator if got.numerator else 0.0


def stream_on_output(fd: int) -> None:
    """VIDIOC_STREAMON for writing.

    Raises:
        OSError: the driver refuses.
    """
    _call(fd, kernel.VIDIOC_STREAMON, c_int(kernel.V4L2_BUF_TYPE_VIDEO_OUTPUT))


def buffer_offsets(fd: int) -> tuple[int, ...]:
    """Offsets of a v4l2loopback's buffers in its memory, once it has a format; empty if unknown."""
    offsets = []
    with suppress(OSError):  # EINVAL ends the list
        for index in range(kernel.VIDEO_MAX_FRAME):
            buffer = kernel.v4l2_buffer(index=index, type=kernel.V4L2_BUF_TYPE_VIDEO_OUTPUT)
            _call(fd, kernel.VIDIOC_QUERYBUF, buffer)
            offsets.append(buffer.m.offset)
    return tuple(dict.fromkeys(offsets))


def map_briefly(fd: int, offsets: Iterable[int]) -> None:
    """Map a page of each of those buffers and unmap it, so that the driver considers them
    mapped.

    Raises:
        OSError: the driver refuses.
    """
    for offset in offsets:
        mmap.mmap(fd, mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ, offset=offset).close()


def lock_writer(fd: int) -> None:
    """Lock a node against other programs that use the same lock; closing it releases the
    lock.

    Raises:
        BlockingIOError: another program has the lock.
    """
    import fcntl  # not on Windows

    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def explain(error: OSError, path: str) -> str:
    """Explain a failure on `path` and the next step, without the path itself."""
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
        found = kernel.v4l2_fmtdesc(index=index, type=kernel.V4L2_BUF_TYPE_VIDEO_CAPTURE)
        try:
            _call(fd, kernel.VIDIOC_ENUM_FMT, found)
        except OSError:  # EINVAL ends the list
            return
        yield fourcc_name(found.pixelformat)


def _sizes(fd: int, fourcc: str) -> Iterator[Size]:
    for index in range(256):
        found = kernel.v4l2_frmsizeenum(index=index, pixel_format=fourcc_code(fourcc))
        try:
            _call(fd, kernel.VIDIOC_ENUM_FRAMESIZES, found)
        except OSError:
            return
        if found.type != kernel.V4L2_FRMSIZE_TYPE_DISCRETE:  # the only entry of the list
            span = found.stepwise
            yield from (
                (width, height)
                for width, height in COMMON_SIZES
                if _in_range(width, span.min_width, span.max_width, span.step_width)
                and _in_range(height, span.min_height, span.max_height, span.step_height)
            )
            return
        yield found.discrete.width, found.discrete.height


def _in_range(value: int, low: int, high: int, step: int) -> bool:
    return low <= value <= high and (value - low) % max(step, 1) == 0


def _rates(fd: int, fourcc: str, size: Size) -> list[float]:
    rates: list[float] = []
    for index in range(256):
        found = kernel.v4l2_frmivalenum(
            index=index, pixel_format=fourcc_code(fourcc), width=size[0], height=size[1]
        )
        try:
            _call(fd, kernel.VIDIOC_ENUM_FRAMEINTERVALS, found)
        except OSError:
            break
        period = found.discrete  # of a range, the shortest: `stepwise.min` is in the same place
        if period.numerator:
            rates.append(period.denominator / period.numerator)
        if found.type != kernel.V4L2_FRMIVAL_TYPE_DISCRETE:
            break
    return rates or [0.0]


def _call(fd: int, number: int, argument: Structure | c_int) -> None:
    """Do one ioctl, which may change its argument."""
    import fcntl  # not on Windows

    fcntl.ioctl(fd, number, argument, True)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _card_in_sysfs(path: str) -> str:
    """The name of a node in sysfs, which needs no open node; empty if there is none."""
    try:
        return (
            (Path("/sys/class/video4linux") / Path(path).name / "name")
            .read_text(errors="replace")
            .strip()
        )
    except OSError:
        return ""
