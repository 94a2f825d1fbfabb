"""Write frames to a v4l2loopback device on Linux.

Written against the source of v4l2loopback 0.12.7 (Debian 12, Ubuntu 22.04 and 24.04) and 0.15:

- With exclusive_caps=1, 0.12.7 stops announcing VIDEO_OUTPUT when a program writes, and announces
  it again only when a file that did VIDIOC_STREAMON is closed. A program that only writes therefore
  works once; afterwards the kernel rejects its S_FMT with EINVAL. This writer does STREAMON right
  after S_FMT, so that the device is released however the program ends, and repairs a device that
  another program left in that state. 0.14 and later reject STREAMON without mapped buffers and do
  not need it; the error is ignored.
- When another reader starts or ends (VIDIOC_REQBUFS), 0.12 and 0.13 forget that current readers
  have mapped the buffers, and reject their next DQBUF with EINVAL: Chromium then ends the
  camera's track. The driver considers a buffer mapped after any mmap of it, so this writer maps a
  page of each buffer right before it writes a frame.
- While a reader is attached the format cannot change: S_FMT returns the old size, which becomes
  `size`.
"""

from __future__ import annotations

import os
from contextlib import suppress
from types import TracebackType
from typing import Self

import numpy as np

from vcam.errors import SinkError, SinkLost
from vcam.frame import Frame, Matrix, Plane, Size
from vcam.linux import procfs, v4l2
from vcam.sinks.base import SinkRequest

LOAD = "sudo modprobe v4l2loopback devices=1 video_nr=10 card_label=vcam exclusive_caps=1"
"""The command that creates a virtual camera which browsers and meeting programs list."""

DEFAULT_SIZE: Size = (1280, 720)
"""Default size: every meeting program supports it."""


class V4l2Sink:
    """A v4l2loopback device, written as I420.

    Args:
        target: the device, for instance "/dev/video10"; empty: the first free one with the
            requested label, or preferably one labelled "vcam".
        request: `size` is the requested size; `Sink.size` is the device's.
    """

    def __init__(self, target: str, request: SinkRequest) -> None:
        self.name = target or "virtual camera"
        self.live = True
        self.size: Size | None = None
        self.matrix: Matrix | None = Matrix.BT601
        self.alpha = False
        self._target = target
        self._request = request
        self._fd = -1
        self._last: v4l2.Node | None = None
        self._padded: Plane | None = None
        self._offsets: tuple[int, ...] = ()

    def __enter__(self) -> Self:
        """Open the device and negotiate a size.

        Raises:
            SinkError: the device does not exist, is not a loopback, may not be opened or is in use,
                or its fixed format is not I420.
        """
        self.name = self._target or self._find(v4l2.list_nodes())
        try:
            self._fd = _open_writer(self.name)
            self._agree()
            self._last = v4l2.describe_node(self.name)
        except FileNotFoundError as error:
            raise SinkError(f"{self.name}: no such device; load one with `{LOAD}`") from error
        except OSError as error:
            self.close()
            raise SinkError(f"{self.name}: {v4l2.explain(error, self.name)}") from error
        except BaseException:
            self.close()
            raise
        return self

    def _find(self, nodes: list[v4l2.Node]) -> str:
        """Choose the device: when opened again, the same one, or one with the same label."""
        last = self._last
        if last is None:
            return first_loopback(nodes, self._request.name)
        if any((node.path, node.card) == (last.path, last.card) for node in nodes):
            return last.path
        return first_loopback(nodes, last.card)

    def _agree(self) -> None:
        asked = self._request.size or DEFAULT_SIZE
        got = v4l2.set_output_format(self._fd, "YU12", asked)
        stride = check_format(got, self.name)
        self.size = (got.width, got.height)
        self._padded = (
            None if stride == got.width else np.zeros(stride * got.height * 3 // 2, np.uint8)
        )
        with suppress(OSError):  # informs readers of the rate; some drivers keep their own
            v4l2.set_output_rate(self._fd, self._request.fps)
        with suppress(OSError):  # see the top of this module
            v4l2.stream_on_output(self._fd)
            self._offsets = v4l2.buffer_offsets(self._fd)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def send(self, frame: Frame) -> None:
        """Write one frame.

        Raises:
            SinkLost: the device does not accept it, or only a part of it.
            ValueError: the frame's size or matrix is not the required one.
        """
        if frame.size != self.size or frame.matrix is not self.matrix:
            raise ValueError(
                f"{self.name} takes {self.size} {self.matrix}, not {frame.size} {frame.matrix}"
            )
        data = frame.data
        if self._padded is not None:
            pad_rows(frame, self._padded)
            data = self._padded
        with suppress(
            OSError
        ):  # see the top of this module; harmless for readers that do not need it
            v4l2.map_briefly(self._fd, self._offsets)
        write_whole(self._fd, data, self.name)

    def close(self) -> None:
        """Free the device."""
        fd, self._fd = self._fd, -1
        self.size, self._offsets = None, ()
        if fd >= 0:
            os.close(fd)


def first_loopback(nodes: list[v4l2.Node], label: str = "") -> str:
    """Choose the loopback: preferably one without a writer, and preferably labelled
    "vcam".

    Args:
        nodes: the nodes of this machine.
        label: the required label; empty: any.

    Raises:
        SinkError: there is none.
    """
    loopbacks = [node for node in nodes if node.is_loopback]
    if label:
        labels = ", ".join(repr(node.card) for node in loopbacks)
        loopbacks = [node for node in loopbacks if node.card == label]
        if labels and not loopbacks:
            raise SinkError(
                f"no virtual camera is labelled {label!r}, only {labels}; `vcam devices` lists them"
            )
    if loopbacks:
        return min(loopbacks, key=lambda node: (_is_taken(node), node.card != "vcam")).path
    problems = [f"{node.path}: {node.problem}" for node in nodes if node.problem]
    if problems:
        raise SinkError(f"no virtual camera that can be opened; {problems[0]}")
    raise SinkError(
        f"no virtual camera: load one with `{LOAD}` (package v4l2loopback-dkms), or write a file"
        " with --sink out.mp4"
    )


def check_format(got: v4l2.PixFormat, name: str) -> int:
    """The bytes per luma row that the device requires.

    Raises:
        SinkError: its fixed format does not fit I420 frames.
    """
    stride = got.bytes_per_line or got.width
    if got.fourcc != "YU12":
        raise SinkError(
            f"{name} is fixed to {got.fourcc} {got.width}x{got.height}, not YU12;"
            f" {procfs.held_by(name)}"
        )
    if got.width % 2 or got.height % 2:
        raise SinkError(
            f"{name} is fixed to {got.width}x{got.height}, which is odd; {procfs.held_by(name)}"
        )
    if stride < got.width or stride % 2 or got.size_image < stride * got.height * 3 // 2:
        raise SinkError(
            f"{name} asks for {got.width}x{got.height} in {got.size_image} bytes, {stride} per row,"
            " which is no I420; choose another --size"
        )
    return stride


def pad_rows(frame: Frame, out: Plane) -> None:
    """Copy the planes of a frame to longer rows, for drivers with aligned rows.

    Args:
        frame: I420.
        out: uint8 [stride * H * 3 / 2], luma rows of `stride` bytes, then Cb and Cr rows of half;
            the caller's.
    """
    height = frame.size[1]
    stride = out.size * 2 // (3 * height)
    start = 0
    for plane, length in zip(frame.planes, (stride, stride // 2, stride // 2), strict=True):
        rows = plane.shape[0]
        out[start : start + rows * length].reshape(rows, length)[:, : plane.shape[1]] = plane
        start += rows * length


def write_whole(fd: int, data: Plane, name: str) -> None:
    """Write one frame in one call, as V4L2 requires.

    Args:
        fd: the device, open for writing.
        data: uint8, C-contiguous, the whole frame; only read.
        name: the device's name in messages.

    Raises:
        SinkLost: the call failed, or wrote only a part.
    """
    try:
        written = os.write(fd, data.data)
    except OSError as error:
        raise SinkLost(
            f"{name} no longer takes frames: {os.strerror(error.errno or 0)}; {_NEXT}"
        ) from error
    if written != data.size:
        raise SinkLost(
            f"{name} took {written} of {data.size} bytes: its format was changed; {_NEXT}"
        )


_NEXT = f"start vcam again, and if the device is gone load it first: {LOAD}"


def _is_taken(node: v4l2.Node) -> bool:
    """With exclusive_caps=1, a device with a writer, or left in that state, announces only
    VIDEO_CAPTURE.
    """
    return node.is_capture and not node.is_output


def _open_writer(path: str) -> int:
    """Open `path`; the returned file descriptor is checked, locked and announces VIDEO_OUTPUT.

    Raises:
        OSError: it cannot be opened or queried, or another vcam writes to it.
        SinkError: it is not a loopback, or another program writes to it.
    """
    with v4l2.opened(path) as fd:
        node = v4l2.Node(path, *v4l2.query_capability(fd))
        check_node(node)
        if not node.is_output:  # closing a file after STREAMON makes 0.12.7 announce it again
            with suppress(OSError):
                v4l2.stream_on_output(fd)
    fd = v4l2.open_node(path)
    try:
        v4l2.query_capability(fd)  # the kernel checks S_FMT against the last answer to this call
        v4l2.lock_writer(fd)
    except BaseException:
        os.close(fd)
        raise
    return fd


def check_node(node: v4l2.Node) -> None:
    """Make sure that the node is a loopback without a writer.

    Raises:
        SinkError: it is something else, or in use.
    """
    if not node.is_loopback:
        raise SinkError(
            f"{node.path} is {node.card!r} (driver {node.driver}), not a virtual camera: "
            f"use --sink virtual, or load one with `{LOAD}`"
        )
    if _is_taken(node) and procfs.holders(node.path):
        raise SinkError(
            f"{node.path} is written to by another program; {procfs.held_by(node.path)}"
        )
