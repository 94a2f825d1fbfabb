"""`--sink` as text."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest

from vcam.errors import UsageError
from vcam.sinks import SINKS, SinkRequest, make_sink
from vcam.sinks.file import FileSink
from vcam.sinks.null import NullSink
from vcam.sinks.png import ImageSink, PngFolderSink
from vcam.sinks.pyvirtualcam import PyvirtualcamSink
from vcam.sinks.v4l2 import V4l2Sink

VIRTUAL = V4l2Sink if sys.platform == "linux" else PyvirtualcamSink


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("virtual", VIRTUAL, "virtual camera"),
        ("virtual:/dev/video10", VIRTUAL, "/dev/video10"),
        ("/dev/video3", V4l2Sink, "/dev/video3"),
        ("/dev/v4l/by-id/usb-x-index0", V4l2Sink, "/dev/v4l/by-id/usb-x-index0"),
        ("pyvirtualcam", PyvirtualcamSink, "virtual camera"),
        ("pyvirtualcam:OBS Virtual Camera", PyvirtualcamSink, "OBS Virtual Camera"),
        ("null", NullSink, "null"),
        ("out.mp4", FileSink, "out.mp4"),
        ("some where/OUT.WEBM", FileSink, "some where/OUT.WEBM"),
        ("C:\\clips\\out.mkv", FileSink, "C:\\clips\\out.mkv"),
        ("photo.jpg", ImageSink, "photo.jpg"),
        ("frames/", PngFolderSink, "frames/"),
        ("png:frames", PngFolderSink, "frames"),
        ("png:a.mp4", PngFolderSink, "a.mp4"),
    ],
)
def test_each_spelling_gives_its_sink(text: str, kind: type, name: str) -> None:
    sink = make_sink(text, SinkRequest())
    assert type(sink) is kind
    assert sink.name == name


def test_a_folder_that_exists_needs_no_slash(tmp_path: Path) -> None:
    assert isinstance(make_sink(str(tmp_path), SinkRequest()), PngFolderSink)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("out.gif", "files ending in .gif cannot be written"),
        ("viertual", "unknown"),
        ("", "unknown"),
        ("png", "name the folder"),
        ("virtual:", "nothing after the colon"),
        ("null:x", "takes nothing after it"),
    ],
)
def test_what_is_unknown_is_refused_with_what_is_known(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=r"known are: virtual, .* \.mp4 .*\.webp") as caught:
        make_sink(text, SinkRequest())
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("where", SINKS.values())
def test_every_plug_in_exists(where: str) -> None:
    module, _, attribute = where.partition(":")
    assert callable(getattr(import_module(module), attribute))


def test_making_a_sink_touches_nothing(tmp_path: Path) -> None:
    for text in ("out.mp4", "frames/", "photo.png"):
        make_sink(f"{tmp_path}/{text}", SinkRequest()).close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["out.mp4", "null", "/dev/video3", "virtual:/dev/video3"])
def test_a_name_and_another_sink_contradict_each_other(text: str) -> None:
    with pytest.raises(UsageError, match=r"--name 'second' and --sink .* cannot be combined"):
        make_sink(text, SinkRequest(name="second"))


def test_a_name_is_what_pyvirtualcam_calls_the_camera() -> None:
    assert (
        make_sink("pyvirtualcam", SinkRequest(name="OBS Virtual Camera")).name
        == "OBS Virtual Camera"
    )
