"""Sources of pictures: one module per kind, and the parsing of
`--source`.
"""

from __future__ import annotations

import importlib
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import cast

from vcam.containers import SCHEMES
from vcam.errors import UsageError
from vcam.plugins import Plugins
from vcam.sources.base import Source, SourceRequest
from vcam.sources.inspect_file import is_animation, is_image, read_head

SOURCES: Mapping[str, str] = MappingProxyType(
    {
        "demo": "vcam.sources.demo:DemoSource",
        "file": "vcam.sources.file:VideoFile",
        "image": "vcam.sources.image:ImageSource",
        "pattern": "vcam.sources.pattern:PatternSource",
        "stream": "vcam.sources.stream:StreamSource",
        "webcam": "vcam.sources.webcam:WebcamSource",
    }
)
"""name -> "module:Class"; a class takes the text after "name:" and a SourceRequest."""

PLUGINS: Plugins[Callable[[str, SourceRequest], Source]] = Plugins("vcam.sources")
"""Sources of other packages, by the name before the colon."""

_KNOWN = "demo, pattern, webcam, webcam:DEVICE, /dev/videoN, a URL, or the path of a video or image"


def is_endless(text: str) -> bool:
    """Whether `--source TEXT` is generated and endless."""
    return text.partition(":")[0] in ("demo", "pattern")


def is_webcam(text: str) -> bool:
    """Whether `--source TEXT` is a camera of this machine; False if the text is
    invalid.
    """
    try:
        return _parse(text)[0] == "webcam"
    except UsageError:
        return False


def file_of(text: str) -> Path | None:
    """The path of the video or picture that `--source TEXT` names; None if it names anything else.

    Raises:
        SourceError: a path does not exist, is a directory, is empty or cannot be read.
        UsageError: there is no such source.
    """
    name, argument = _parse(text)
    return Path(argument) if name in ("file", "image") else None


def is_picture(path: Path) -> bool:
    """Whether a file is a still picture rather than a film.

    Raises:
        SourceError: it does not exist, is a directory, is empty or cannot be read.
    """
    return _kind_of_path(str(path)) == "image"


def make_source(text: str, request: SourceRequest) -> Source:
    """Make the source that a user names; not opened yet.

    Args:
        text: "demo", "pattern", "webcam", "webcam:/dev/video2" or "webcam:NAME", "/dev/video2", a
            URL, or a path; the type of a file is determined by its content. Write a file that has
            the name of a source with its folder: "./demo".
        request: the pipeline's requirements.

    Raises:
        UsageError: there is no such source, or its argument is invalid.
        SourceError: a path does not exist, is a directory, is empty or cannot be read.
    """
    name, argument = _parse(text)
    plug_in = None if name in SOURCES else PLUGINS.find(name)
    if plug_in is None:
        module, _, attribute = SOURCES[name].partition(":")
        plug_in = cast(
            "Callable[[str, SourceRequest], Source]",
            getattr(importlib.import_module(module), attribute),
        )
    return plug_in(argument, request)


def register_source(name: str, make: Callable[[str, SourceRequest], Source]) -> None:
    """Add a source, as the entry point group "vcam.sources" does, for this process.

    Args:
        name: what users write, `NAME` or `NAME:ARGUMENT`.
        make: makes it, not opened yet, from the argument and the pipeline's requirements.

    Raises:
        UsageError: the name is taken or invalid.
    """
    PLUGINS.register(name, make, taken=name in SOURCES or name in SCHEMES)


def _parse(text: str) -> tuple[str, str]:
    """(name of the source, its argument)."""
    name, colon, argument = text.partition(":")
    if name in SOURCES and not argument.startswith("//"):
        if name in ("file", "image", "stream") and not argument:
            raise UsageError(f"--source {text}: which one? write {name}:PATH, or just the path")
        return name, argument
    if argument.startswith("//"):
        if name.lower() not in SCHEMES:
            raise UsageError(
                f"--source {text}: unknown kind of address '{name}'; known: {', '.join(SCHEMES)}"
            )
        return "stream", text
    if re.fullmatch(r"/dev/video\d+", text):
        return "webcam", text
    if not argument.startswith("//") and not _exists(text) and PLUGINS.find(name):
        return name, argument
    looks_like_name = not colon and re.fullmatch(r"[A-Za-z0-9_-]*", text)
    if not text or (
        not _exists(text) and (looks_like_name or (colon and re.fullmatch(r"[a-z]{2,}", name)))
    ):
        raise UsageError(f"--source {text}: unknown source '{name}'; known: {_known()}")
    return _kind_of_path(text), text


def _known() -> str:
    return ", ".join([*PLUGINS.names(), _KNOWN])


def _exists(text: str) -> bool:
    try:
        Path(text).stat()
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return True  # or it cannot be checked; the reader reports why
    return True


def _kind_of_path(path: str) -> str:
    head = read_head(path)
    if head:
        return "image" if is_image(path, head) and not is_animation(head) else "file"
    return (
        "webcam"
        if path.startswith("/dev/v") and stat.S_ISCHR(Path(path).stat().st_mode)
        else "stream"
    )
