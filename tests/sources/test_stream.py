"""Network streams and pipes, from real servers in this process."""

from __future__ import annotations

import http.server
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.sources.media_files import brightness_index, counting, write_video
from vcam.errors import SourceError, SourceLost
from vcam.frame import Frame
from vcam.sources.base import SourceRequest
from vcam.sources.stream import StreamSource

SIZE = (96, 64)
Answer = Callable[[http.server.BaseHTTPRequestHandler, threading.Event], None]


@contextmanager
def served(answer: Answer, name: str = "stream") -> Iterator[str]:
    """An HTTP server that answers every GET with `answer`; gives the address."""
    done = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(OSError):
                answer(self, done)

        def log_message(self, *_args: object) -> None:
            """Keep the test's output clean."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/{name}"
        finally:
            done.set()
            server.shutdown()
            thread.join()


def whole(data: bytes) -> Answer:
    def answer(handler: http.server.BaseHTTPRequestHandler, _done: threading.Event) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def then_silence(data: bytes) -> Answer:
    def answer(handler: http.server.BaseHTTPRequestHandler, done: threading.Event) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(data)
        done.wait(20)

    return answer


def refusal(handler: http.server.BaseHTTPRequestHandler, _done: threading.Event) -> None:
    handler.send_error(404)


def no_answer(_handler: http.server.BaseHTTPRequestHandler, done: threading.Event) -> None:
    done.wait(20)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stream")
    return write_video(folder / "clip.ts", counting(SIZE, 40), "mpeg2video", options={"g": "5"})


def read_all(source: StreamSource) -> list[Frame]:
    with source:
        return list(iter(source.read, None))


def test_a_live_stream_delivers_the_newest_frame(clip: Path) -> None:
    with served(whole(clip.read_bytes())) as url, StreamSource(url, SourceRequest()) as source:
        assert (source.name, source.live, source.size, source.fps) == (url, True, SIZE, 30.0)
        assert source.read() is not None
        source._thread.join(timeout=10)  # all 40 have arrived
        newest = source.read()
        assert newest is not None
        assert brightness_index(newest) == 39
        assert newest.index == 1
        assert source.read() is None


def test_a_video_file_on_a_server_delivers_every_frame(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "clip.mp4", counting(SIZE, 12), container_options={"movflags": "faststart"}
    )
    with served(whole(path.read_bytes()), "clip.mp4?x=1") as url:
        source = StreamSource(url, SourceRequest())
        assert not source.live
        frames = read_all(source)
    assert source.frames == 12
    assert [brightness_index(frame) for frame in frames] == list(range(12))
    assert [round(frame.pts_ns * 30 / 1e9) for frame in frames] == list(range(12))


def test_a_pipe_delivers_every_frame(tmp_path: Path, clip: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(clip.read_bytes()))
    writer.start()
    source = StreamSource(str(pipe), SourceRequest())
    assert not source.live
    assert len(read_all(source)) == 40
    writer.join()


def test_a_stream_that_falls_silent_is_lost(clip: Path) -> None:
    with served(then_silence(clip.read_bytes())) as url:
        source = StreamSource(url, SourceRequest(), open_timeout_s=5, read_timeout_s=0.4)
        with (
            source,
            pytest.raises(
                SourceLost, match=r"/stream: (broke off|no picture for 0\.4 s).* running and reach"
            ),
        ):
            list(iter(source.read, None))


def test_a_blocked_stream_can_be_interrupted(clip: Path) -> None:
    with (
        served(then_silence(clip.read_bytes())) as url,
        StreamSource(url, SourceRequest()) as source,
    ):
        timer = threading.Timer(0.5, source.interrupt)
        timer.start()
        while source.read() is not None:  # else the stream is lost
            pass
        timer.join()
        assert source.read() is None


def test_opening_can_be_interrupted() -> None:
    with served(no_answer) as url:
        source = StreamSource(url, SourceRequest())
        timer = threading.Timer(0.3, source.interrupt)
        timer.start()
        with pytest.raises(SourceError, match="without a picture"), source:
            pass
        timer.join()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (refusal, r"/stream: the server refused \(.*404.*\); check the address"),
        (
            no_answer,
            (
                r"/stream: no (picture for 0\.5 s|answer in time); check that it is running and"
                r" reachable"
            ),
        ),
        (
            whole(b"<html>hello</html>" * 200),
            r"/stream: it is damaged, or no video or image; check that it plays",
        ),
    ],
)
def test_a_server_without_a_video_is_one_line(answer: Answer, message: str) -> None:
    with served(answer) as url, pytest.raises(SourceError, match=message) as caught:
        read_all(StreamSource(url, SourceRequest(), open_timeout_s=0.5))
    assert "\n" not in str(caught.value)


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for scheme in ("http", "rtsp"):
        with pytest.raises(
            SourceError,
            match=r"Connection refused; check the address and that the server is running",
        ):
            read_all(StreamSource(f"{scheme}://127.0.0.1:{port}/x", SourceRequest()))
    with pytest.raises(SourceError, match=r"no (picture for 0\.4 s|answer in time)"):
        read_all(StreamSource(f"udp://127.0.0.1:{port}", SourceRequest(), open_timeout_s=0.4))


def test_passwords_are_not_shown() -> None:
    source = StreamSource("rtsp://me:secret@127.0.0.1:1/x", SourceRequest())
    assert source.name == "rtsp://me:***@127.0.0.1:1/x"
    with pytest.raises(SourceError) as caught, source:
        pass
    assert "secret" not in str(caught.value)


def test_closing_is_harmless_at_any_time(clip: Path) -> None:
    with served(whole(clip.read_bytes())) as url:
        source = StreamSource(url, SourceRequest())
        source.close()
        source = StreamSource(url, SourceRequest())
        with source:
            pass
        source.close()
        assert source.read() is None


def test_a_live_stream_that_was_closed_can_be_opened_again(clip: Path) -> None:
    with served(whole(clip.read_bytes())) as url:
        source = StreamSource(url, SourceRequest())
        found: list[Frame | None] = []
        for _ in range(2):
            with source:
                found.append(source.read())
            assert source.read() is None
        source.interrupt()
        with pytest.raises(SourceError), source:
            pass
    first, second = found
    assert first is not None
    assert second is not None
    assert second.index > first.index
    assert second.pts_ns > first.pts_ns
