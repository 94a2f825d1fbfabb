"""The sound of a file goes with its pictures: whole, in step, not encoded again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream
from av.container import OutputContainer

from tests.sinks.pictures import quadrants
from vcam.errors import SinkLost
from vcam.sinks import SinkRequest
from vcam.sinks.file import FileSink
from vcam.sources.base import SourceRequest
from vcam.sources.file import VideoFile

RATE = 25


@dataclass(frozen=True)
class Film:
    """How a film is made: when its pictures and sounds begin, and how long they last, in
    seconds.
    """

    picture_s: float = 0.0
    sound_s: float = 0.0
    pictures_last_s: float = 2.0
    sound_lasts_s: float = 2.0
    codec: str = "aac"
    tracks: int = 1


def _sound(container: OutputContainer, codec: str) -> AudioStream:
    stream = container.add_stream(codec, 48_000)
    assert isinstance(stream, AudioStream)
    return stream


def write_film(path: Path, film: Film) -> Path:
    with av.open(f"file:{path}", "w") as container:
        pictures = container.add_stream("libx264", RATE)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        sounds = [_sound(container, film.codec) for _ in range(film.tracks)]
        for index in range(round(film.pictures_last_s * RATE)):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), index, np.uint8))
            picture.pts = round(film.picture_s * RATE) + index
            picture.time_base = Fraction(1, RATE)
            container.mux(pictures.encode(picture))
        container.mux(pictures.encode(None))
        for sound in sounds:
            count = round(film.sound_lasts_s * 48_000)
            tone = np.sin(np.arange(count) / 20)[None].astype(np.float32)
            for at in range(0, count, 1024):
                block = av.AudioFrame.from_ndarray(tone[:, at : at + 1024], "fltp", "mono")
                block.rate, block.pts = 48_000, round(film.sound_s * 48_000) + at
                block.time_base = Fraction(1, 48_000)
                container.mux(sound.encode(block))
            container.mux(sound.encode(None))
    return path


def pass_through(source: Path, target: Path, frames: int | None = None) -> None:
    """Read a film as vcam does, and write it as vcam does; at most so many frames."""
    request = SinkRequest(fps=30, variable_rate=True, sound_of=source)
    with (
        VideoFile(str(source), SourceRequest()) as film,
        FileSink(str(target), request) as sink,
    ):
        while (frame := film.read()) is not None and frames != 0:
            sink.send(frame)
            frames = None if frames is None else frames - 1


def packets(path: Path, kind: str) -> list[tuple[float, bytes]]:
    """(time in seconds, content) of what is in the first stream of a kind."""
    with av.open(f"file:{path}") as container:
        stream = getattr(container.streams, kind)[0]
        return sorted(
            (float((p.pts or 0) * p.time_base), bytes(p)) for p in container.demux(stream) if p.size
        )


def start_s(path: Path, kind: str) -> float:
    with av.open(f"file:{path}") as container:
        stream = getattr(container.streams, kind)[0]
        return float((stream.start_time or 0) * stream.time_base)


@pytest.mark.parametrize(
    "film",
    [
        Film(),
        Film(picture_s=1.0),
        Film(sound_s=0.6),
        Film(sound_lasts_s=3.0),
        Film(sound_lasts_s=0.5),
        Film(tracks=2),
    ],
    ids=str,
)
@pytest.mark.parametrize("kinds", [("mp4", "mp4"), ("mkv", "mkv"), ("mp4", "mov"), ("mkv", "mp4")])
def test_sound_is_copied_whole_and_in_step(
    tmp_path: Path, film: Film, kinds: tuple[str, str]
) -> None:
    before = write_film(tmp_path / f"before.{kinds[0]}", film)
    after = tmp_path / f"after.{kinds[1]}"
    pass_through(before, after)
    assert [data for _, data in packets(after, "audio")] == [
        data for _, data in packets(before, "audio")
    ]
    distance_s = [start_s(path, "video") - start_s(path, "audio") for path in (before, after)]
    assert distance_s[1] == pytest.approx(distance_s[0], abs=0.025)  # one block of sound
    assert len(packets(after, "video")) == len(packets(before, "video"))
    with av.open(str(after)) as container:
        assert len(container.streams.audio) == film.tracks


@pytest.mark.parametrize("kind", ["mp4", "mkv"])
def test_a_run_that_is_stopped_ends_its_sound_too(tmp_path: Path, kind: str) -> None:
    before, after = write_film(tmp_path / f"before.{kind}", Film()), tmp_path / f"after.{kind}"
    pass_through(before, after, frames=RATE)
    times_s = [time_s for time_s, _ in packets(after, "audio")]
    assert len(packets(after, "video")) == RATE
    assert 0.9 < times_s[-1] - times_s[0] < 1.05


def test_times_of_the_copy_grow(tmp_path: Path) -> None:
    before, after = write_film(tmp_path / "before.mkv", Film(picture_s=0.5)), tmp_path / "after.mp4"
    pass_through(before, after)
    assert all(one < two for (one, _), (two, _) in pairwise(packets(after, "audio")))


def test_sound_that_the_file_cannot_hold_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = write_film(tmp_path / "before.mp4", Film())
    with caplog.at_level(logging.WARNING):
        pass_through(before, tmp_path / "after.webm")
    (record,) = caplog.records
    assert "its sound (aac) is left out, because .webm files cannot hold it" in record.getMessage()
    with av.open(str(tmp_path / "after.webm")) as container:
        assert len(container.streams) == 1


def test_opus_stays_opus_in_webm(tmp_path: Path) -> None:
    before = write_film(tmp_path / "before.mkv", Film(codec="libopus"))
    pass_through(before, tmp_path / "after.webm")
    assert packets(tmp_path / "after.webm", "audio")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("spoil", [_cut, _empty, Path.unlink])
def test_sound_that_cannot_be_read_leaves_the_pictures_alone(
    tmp_path: Path, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    before, after = write_film(tmp_path / "before.mkv", Film()), tmp_path / "after.mkv"
    spoil(before)
    with FileSink(str(after), SinkRequest(variable_rate=True, sound_of=before)) as sink:
        for index in range(50):
            sink.send(quadrants(pts_ns=index * 40_000_000))
    assert len(packets(after, "video")) == 50
    assert spoil is _cut or "sound cannot be copied" in caplog.text


def test_a_full_disk_is_still_said(tmp_path: Path) -> None:
    from tests.sinks.test_file import file_size_limit

    before = write_film(tmp_path / "before.mkv", Film(sound_lasts_s=60))
    with FileSink(
        str(tmp_path / "after.mp4"), SinkRequest(variable_rate=True, sound_of=before)
    ) as sink:
        sink.send(quadrants())
        with file_size_limit(20_000), pytest.raises(SinkLost, match="too large for this disk"):
            sink.send(quadrants(pts_ns=50_000_000_000))
    assert [path.name for path in tmp_path.iterdir()] == ["before.mkv"]
