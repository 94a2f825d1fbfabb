"""Limits on what files may request, so that a few bytes cannot exhaust memory or time.

All limits are far above what cameras, phones and films need.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.container import InputContainer

DEFAULT_MAX_PIXELS = 100_000_000
"""Pixels of one picture; as RGB that many take 300 MB."""
MAX_STREAMS = 64
MAX_FRAMES = 20_000_000
"""Frames of a film; 24 hours at 240 frames per second."""
MAX_BOXES = 10_000
"""Boxes at the top level of an MP4 file; a fragmented one has two per fragment."""
MAX_FILE_BYTES = 1 << 29
"""Bytes of a still picture's file, which is read whole."""

_OPENCV_VARIABLE = "OPENCV_IO_MAX_IMAGE_PIXELS"
"""OpenCV reads this variable once, when it is imported."""


class LimitError(ValueError):
    """A file requests more than any picture or film needs; the message is a whole sentence."""


def max_pixels() -> int:
    """Return the maximum number of pixels of one picture."""
    try:
        return max(1, int(os.environ.get(_OPENCV_VARIABLE, DEFAULT_MAX_PIXELS)))
    except ValueError:
        return DEFAULT_MAX_PIXELS


def set_max_pixels(count: int | None = None) -> None:
    """Set the limit for this process; None: the default, unless it is already set. OpenCV obeys it
    only if it is set before OpenCV is imported.
    """
    if count is None:
        os.environ.setdefault(_OPENCV_VARIABLE, str(DEFAULT_MAX_PIXELS))
    else:
        os.environ[_OPENCV_VARIABLE] = str(count)


def too_large(width: int | None = None, height: int | None = None) -> str:
    """The error text for a picture with too many pixels."""
    size = f"{width}x{height}, " if width and height else ""
    most = max_pixels() / 1e6
    return (
        f"its picture has {size}more than {most:g} megapixels; make it smaller, or allow more with "
        "VCAM_MAX_MEGAPIXELS"
    )


def check_container(container: InputContainer) -> None:
    """Make sure that a file or stream requests no more than a film needs.

    Raises:
        LimitError: it requests more.
    """
    if (count := len(container.streams)) >= MAX_STREAMS:
        raise LimitError(
            f"it has {count} tracks or more, and a film has fewer than {MAX_STREAMS}; choose "
            f"another file"
        )
    for stream in container.streams.video:
        if (stream.frames or 0) > MAX_FRAMES:
            raise LimitError(
                f"it says that it has {stream.frames} frames, more than any film; choose another "
                f"file"
            )
        context = stream.codec_context
        if context is not None and context.width * context.height > max_pixels():
            raise LimitError(too_large(context.width, context.height))


def check_boxes(path: Path) -> None:
    """Make sure that an MP4 file does not consist of countless boxes, which take seconds to scan.

    Raises:
        LimitError: it does.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return
        with path.open("rb") as file:
            if file.read(8)[4:] not in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
                return
            at = 0
            for _ in range(MAX_BOXES):
                file.seek(at)
                header = file.read(16)
                size = int.from_bytes(header[:4], "big")
                if size == 1:
                    size = int.from_bytes(header[8:16], "big")
                if size < 8 or len(header) < 8:
                    return
                at += size
    except (OSError, ValueError):  # the demuxer reports the error
        return
    raise LimitError(f"it has more than {MAX_BOXES} boxes, and no film has; choose another file")
