"""A name is a name: FFmpeg never takes it for a protocol, a list or an address."""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.sinks.pictures import quadrants
from vcam.effects import make_effect
from vcam.errors import SourceError, UsageError
from vcam.sinks import SinkRequest, make_sink
from vcam.sources import make_source
from vcam.sources.base import SourceRequest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="names may not hold a colon there")

NAMES = [
    "2024-05-01T10:20:30.mp4",
    "talk: part 1.mp4",
    "tee:a.mp4",
    "data:x.mp4",
    "pipe:1.mp4",
    "concat:a.mp4|b.mp4",
    "http:x.mp4",
    "subfile,,start,0,end,9,,:x.mp4",
    "crypto:x.mp4",
    "async:cache:x.mp4",
    "%03d.mp4",
    "-y.mp4",
    "a b'c\"d.mp4",
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["file:x.mp4", *NAMES])
def test_a_sink_writes_the_file_of_that_name(here: Path, name: str) -> None:
    with make_sink(name, SinkRequest()) as sink:
        sink.send(quadrants())
    assert [path.name for path in here.iterdir()] == [name]
    with av.open(f"file:{here / name}") as container:
        assert len(list(container.decode(video=0))) == 1


@pytest.mark.parametrize("name", NAMES)
def test_sources_and_effects_read_the_file_of_that_name(here: Path, name: str) -> None:
    with make_sink(name, SinkRequest()) as sink:
        sink.send(quadrants())
    for written in (name, f"./{name}"):
        with make_source(written, SourceRequest()) as source:
            assert source.read() is not None
        with make_effect(f"video:{written}"):
            pass


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A server that nobody is to call."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        yield server


LISTS = {
    "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{path}\n#EXT-X-ENDLIST\n",
    "web.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}\n#EXT-X-ENDLIST\n",
    "list.ffconcat": "ffconcat version 1.0\nfile '{path}'\n",
    "list.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "list.mpd": "<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'><Period>"
    "<BaseURL>{url}</BaseURL></Period></MPD>",
    "list.mp4": "#EXTM3U\n#EXTINF:1,\n{path}\n",
}


@pytest.mark.parametrize("name", LISTS)
def test_a_file_that_names_other_files_is_no_film(
    here: Path, name: str, listener: socket.socket
) -> None:
    private = here / "private.mp4"
    with make_sink(str(private), SinkRequest()) as sink:
        sink.send(quadrants())
    port = listener.getsockname()[1]
    text = LISTS[name].format(path=private, url=f"http://127.0.0.1:{port}/a.ts", port=port)
    (here / name).write_text(text)
    for written in (name, f"file:{name}", f"stream:{name}"):
        with pytest.raises(SourceError), make_source(written, SourceRequest()) as source:
            source.read()
    with pytest.raises(TimeoutError):
        listener.accept()


@pytest.mark.parametrize(
    "text",
    [
        "stream:concat:private.mp4|private.mp4",
        "stream:subfile,,start,0,end,0,,:private.mp4",
        "stream:file:private.mp4",
        "stream:cache:private.mp4",
    ],
)
def test_a_stream_is_no_way_around(here: Path, text: str) -> None:
    with make_sink("private.mp4", SinkRequest()) as sink:
        sink.send(quadrants())
    with pytest.raises(SourceError), make_source(text, SourceRequest()):
        pass


@pytest.mark.parametrize(
    "text",
    [
        "http://[",
        "rtsp://[",
        "http://",
        "stream:http://",
        "stream:gopher://h/",
        "file://x",
        "a://b",
    ],
)
def test_impossible_addresses_are_mistakes_of_the_user(text: str) -> None:
    with pytest.raises(UsageError):
        make_source(text, SourceRequest())


def test_the_scheme_may_be_in_capitals(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    source = make_source(f"HTTP://127.0.0.1:{port}/a.mp4", SourceRequest())
    listener.close()
    with pytest.raises(SourceError, match=r"refused|reachable|running"), source:
        pass


def test_a_picture_by_such_a_name(here: Path) -> None:
    cv2.imwrite("plain.png", np.zeros((8, 8, 3), np.uint8))
    shutil.move("plain.png", "http:x.png")
    with make_source("http:x.png", SourceRequest()) as source:
        assert source.read() is not None
