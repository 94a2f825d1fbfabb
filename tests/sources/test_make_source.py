"""What users may write after `--source`."""

from __future__ import annotations

import ast
import importlib
import os
from pathlib import Path

import cv2
import pytest

import vcam.sources
from tests.sources.media_files import counting, write_video
from vcam.errors import SourceError, UsageError
from vcam.sources import SOURCES, make_source
from vcam.sources.base import Source, SourceRequest
from vcam.sources.demo import DemoSource
from vcam.sources.file import VideoFile
from vcam.sources.image import ImageSource
from vcam.sources.pattern import PatternSource
from vcam.sources.stream import StreamSource
from vcam.sources.webcam import WebcamSource

SIZE = (96, 64)


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("demo", DemoSource, "demo"),
        ("pattern", PatternSource, "pattern"),
        ("webcam", WebcamSource, "webcam"),
        ("webcam:/dev/video2", WebcamSource, "/dev/video2"),
        ("webcam:FaceTime HD Camera", WebcamSource, "FaceTime HD Camera"),
        ("/dev/video4242", WebcamSource, "/dev/video4242"),
        ("rtsp://host/x", StreamSource, "rtsp://host/x"),
        ("RTSP://host/x", StreamSource, "RTSP://host/x"),
        ("rtmp://host/x", StreamSource, "rtmp://host/x"),
        ("http://host/x", StreamSource, "http://host/x"),
        ("https://host/clip.mp4", StreamSource, "https://host/clip.mp4"),
        ("udp://@:1234", StreamSource, "udp://@:1234"),
        ("file:/tmp/x.mp4", VideoFile, "x.mp4"),
        ("image:/tmp/x.png", ImageSource, "x.png"),
    ],
)
def test_names_and_addresses(text: str, kind: type, name: str) -> None:
    source = make_source(text, SourceRequest())
    assert type(source) is kind
    assert source.name == name


def test_files_are_told_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = write_video(tmp_path / "made.mp4", counting(SIZE, 3))
    video.rename(tmp_path / "video.png")
    cv2.imwrite(str(tmp_path / "made.png"), counting(SIZE, 1)[0])
    (tmp_path / "made.png").rename(tmp_path / "demo")
    monkeypatch.chdir(tmp_path)
    assert isinstance(make_source("video.png", SourceRequest()), VideoFile)
    assert isinstance(make_source("./demo", SourceRequest()), ImageSource)
    assert isinstance(make_source(str(tmp_path / "demo"), SourceRequest()), ImageSource)
    assert isinstance(make_source("demo", SourceRequest()), DemoSource)


def test_motion_jpeg_is_no_image(tmp_path: Path) -> None:
    jpeg = cv2.imencode(".jpg", counting(SIZE, 1)[0])[1].tobytes()
    (tmp_path / "clip.mjpeg").write_bytes(jpeg * 3)
    with make_source(str(tmp_path / "clip.mjpeg"), SourceRequest()) as source:
        assert len(list(iter(source.read, None))) == 3


def test_a_pipe_is_a_stream(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert isinstance(make_source(str(tmp_path / "pipe"), SourceRequest()), StreamSource)


KNOWN = (
    "known: demo, pattern, webcam, webcam:DEVICE, /dev/videoN, a URL, or the path of a video or"
    " image"
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dmeo", f"--source dmeo: unknown source 'dmeo'; {KNOWN}"),
        ("", f"--source : unknown source ''; {KNOWN}"),
        ("camera:0", f"--source camera:0: unknown source 'camera'; {KNOWN}"),
        ("ftp://host/x", "unknown kind of address 'ftp'; known: http, https, rtmp, rtsp, udp"),
        ("demo:1", "the source 'demo' takes no argument"),
        ("pattern:1", "the source 'pattern' takes no argument"),
        ("file:", "which one? write file:PATH"),
    ],
)
def test_unknown_sources_are_a_usage_error(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_source(text, SourceRequest())
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["gone.mp4", "./demo", "some/where", "C:\\gone.mp4"])
def test_paths_that_do_not_exist(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match="no such file; check the spelling, or try --source demo"):
        make_source(text, SourceRequest())


def test_directories_and_empty_files_and_null_bytes(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    for path, message in (
        (tmp_path, "is a directory"),
        (tmp_path / "empty.mp4", "the file is empty"),
    ):
        with pytest.raises(SourceError, match=message):
            make_source(str(path), SourceRequest())
    with pytest.raises(SourceError, match="cannot be read"):
        make_source("bad\0name.mp4", SourceRequest())


def test_a_path_that_may_not_be_looked_at(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir(mode=0o700)
    (secret / "clip.mp4").write_bytes(b"x")
    secret.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(
            SourceError, match=r"clip\.mp4: permission denied; check who may read it"
        ):
            make_source(str(secret / "clip.mp4"), SourceRequest())
    finally:
        os.seteuid(user)
        secret.chmod(0o700)


@pytest.mark.parametrize("name", SOURCES)
def test_every_plug_in_keeps_the_contract(name: str) -> None:
    """Each class has every attribute and method of the protocol before it is opened."""
    module, _, attribute = SOURCES[name].partition(":")
    source = getattr(importlib.import_module(module), attribute)("", SourceRequest())
    for member in [*Source.__annotations__, "__enter__", "__exit__", "read", "interrupt", "close"]:
        assert hasattr(source, member), member
    source.close()
    source.close()
    source.interrupt()


def test_heavy_libraries_are_imported_where_they_are_used() -> None:
    for path in Path(vcam.sources.__file__).parent.glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = (
                    [alias.name for alias in node.names]
                    if isinstance(node, ast.Import)
                    else [node.module or ""]
                )
                assert not [name for name in names if name.split(".")[0] == "av"], path.name
