"""Destinations of composed frames: virtual cameras, video files, pictures.

`make_sink` reads the text of `--sink`:

    virtual                 the first free virtual camera
    virtual:DEVICE          this one: /dev/video10 on Linux, the name of the camera elsewhere
    /dev/video10            the same
    pyvirtualcam[:DEVICE]   through pyvirtualcam instead of vcam's own writer
    clip.mp4 .mkv .mov .webm      a video file; .mov and .webm keep transparency
    photo.png .jpg .webp .tiff .bmp .avif .heic    one picture: the last frame that was sent
    folder/ or png:FOLDER            a folder of frame_000000.png and so on
    null                    discards frames and counts them
    page                    shown on the page only, at the rate of a camera
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from vcam.errors import UsageError
from vcam.files import is_folder
from vcam.pictures import HEIF_SUFFIXES, PICTURE_SUFFIXES
from vcam.plugins import Plugins
from vcam.sinks.base import Sink, SinkRequest

__all__ = ["SINKS", "Sink", "SinkRequest", "make_sink", "register_sink"]

SINKS: dict[str, str] = {
    "file": "vcam.sinks.file:FileSink",
    "image": "vcam.sinks.png:ImageSink",
    "null": "vcam.sinks.null:NullSink",
    "page": "vcam.sinks.null:PageSink",
    "png": "vcam.sinks.png:PngFolderSink",
    "pyvirtualcam": "vcam.sinks.pyvirtualcam:PyvirtualcamSink",
    "v4l2": "vcam.sinks.v4l2:V4l2Sink",
}

_PREFIXES = ("null", "page", "png", "pyvirtualcam", "virtual")
_VIDEOS = (".mp4", ".mkv", ".mov", ".webm")
_PICTURES = (*PICTURE_SUFFIXES, *HEIF_SUFFIXES)
_KNOWN = (
    "known are: virtual, virtual:DEVICE, /dev/videoN, pyvirtualcam[:DEVICE], null, page,"
    f" png:FOLDER, a folder ending in /, and files ending in {' '.join((*_VIDEOS, *_PICTURES))}"
)


PLUGINS: Plugins[Callable[[str, SinkRequest], Sink]] = Plugins("vcam.sinks")
"""Sinks of other packages, by the name before the colon."""


class _SinkClass(Protocol):
    def __call__(self, target: str, request: SinkRequest) -> Sink: ...


def make_sink(text: str, request: SinkRequest) -> Sink:
    """Make the sink that `--sink TEXT` names, not opened yet.

    Raises:
        UsageError: the text names no sink; the message lists the known ones.
    """
    if request.name and text not in ("virtual", "pyvirtualcam"):
        raise UsageError(
            f"--name {request.name!r} and --sink {text!r} cannot be combined: both choose the"
            " output; leave one out"
        )
    prefix, _, argument = text.partition(":")
    made = None if prefix in (*_PREFIXES, *SINKS) else PLUGINS.find(prefix)
    if made is not None:
        return made(argument, request)
    name, target = _parse(text)
    module, _, attribute = SINKS[name].partition(":")
    return cast(_SinkClass, getattr(import_module(module), attribute))(target, request)


def register_sink(name: str, make: Callable[[str, SinkRequest], Sink]) -> None:
    """Add a sink, as the entry point group "vcam.sinks" does, for this process.

    Args:
        name: what users write, `NAME` or `NAME:ARGUMENT`.
        make: makes it, not opened yet, from the argument and the pipeline's requirements.

    Raises:
        UsageError: the name is taken or invalid.
    """
    PLUGINS.register(name, make, taken=name in (*_PREFIXES, *SINKS))


def _parse(text: str) -> tuple[str, str]:
    """(name in `SINKS`, target)."""
    prefix, colon, target = text.partition(":")
    if prefix in _PREFIXES:
        return _named(prefix, target, text, bool(colon))
    if text.startswith("/dev/"):
        return "v4l2", text
    if text.endswith(("/", "\\")) or (text and is_folder(Path(text))):
        return "png", text
    suffix = Path(text).suffix.lower()
    if suffix in _VIDEOS:
        return "file", text
    if suffix in _PICTURES:
        return "image", text
    what = f"files ending in {suffix} cannot be written" if suffix else "unknown"
    raise UsageError(f"--sink {text!r}: {what}; {_KNOWN}")


def _named(prefix: str, target: str, text: str, colon: bool) -> tuple[str, str]:
    if colon and not target:
        raise UsageError(f"--sink {text!r}: nothing after the colon; {_KNOWN}")
    if prefix == "png" and not target:
        raise UsageError(f"--sink {text!r}: name the folder, for instance png:frames; {_KNOWN}")
    if prefix == "null" and target:
        raise UsageError(f"--sink {text!r}: null takes nothing after it; {_KNOWN}")
    if prefix == "virtual":
        prefix = "v4l2" if sys.platform == "linux" else "pyvirtualcam"
    return prefix, target
